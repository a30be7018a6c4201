"""Files that come with the package, by the paths that a checkout has them at."""

from __future__ import annotations

from pathlib import Path

from streamsed.bundle import find_bundle
from streamsed.errors import BundleError, ConfigError

_PACKAGE = Path(__file__).parent
RECIPES = _PACKAGE / "recipes"
_SUFFIX = ".yaml"


def find_recipe(path: Path) -> Path:
    """Return a recipe, comparison, grid or description of scenes: a file, or one that ships.

    What is no file is looked for in the package: by the path that it has in a checkout
    (``train/recipes/domestic.yaml``), or as a recipe's name (``domestic``, ``jss/stage1``).

    Raises:
        ConfigError: there is none; lists the recipes that ship.
    """
    if path.is_file():
        return path
    below = path.relative_to(_PACKAGE.name) if path.parts[:1] == (_PACKAGE.name,) else path
    for folder in (_PACKAGE, RECIPES):
        for name in (below, below.with_name(below.name + _SUFFIX)):
            if not below.is_absolute() and (folder / name).is_file():
                return folder / name
    names = sorted(
        file.relative_to(RECIPES).with_suffix("").as_posix()
        for file in RECIPES.rglob(f"*{_SUFFIX}")
        if "layers" not in file.parts
    )
    raise ConfigError(
        f"{path}: no such file, and no recipe of that name; there are {', '.join(names)}"
    )


def find_checkpoint(path: Path) -> Path:
    """Return a checkpoint: a file, or one of a bundle that ships (``models/domestic/crnn.pt``)."""
    if not path.is_file() and len(path.parts) > 1 and not path.is_absolute():
        try:
            found = find_bundle(path.parent) / path.name
        except BundleError:
            return path
        if found.is_file():
            return found
    return path
