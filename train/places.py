"""Where things are found and kept, whatever the working directory.

Recipes, plans and descriptions of scenes are part of the package and known by name; runs and what
is the same for many runs lie where the user's system keeps such things, or where given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo

from streamsed.errors import ConfigError
from streamsed.validation_messages import suggest

Shelf = Literal["recipes", "plans", "soundscapes"]

RUNS = "STREAMSED_RUNS"
CACHE = "STREAMSED_CACHE"

_PACKAGE = Path(__file__).parent
_SUFFIX = ".yaml"
_LAYERS = "layers"
"""Folder of what recipes extend, which are none themselves."""
_NAMES = {"recipes": "recipe", "plans": "plan", "soundscapes": "description of scenes"}


def find(shelf: Shelf, name: Path | str, *, beside: Path | None = None) -> Path:
    """Return the file of a recipe, a plan or a description of scenes.

    Args:
        shelf: which of these.
        name: a path, which goes first, or what one of the package's is called: its name, or the
            path that it has in a checkout (``train/recipes/domestic.yaml``).
        beside: folder of the file that names it, before which nothing goes.

    Raises:
        ConfigError: there is none; the line names those that there are.
    """
    in_checkout = Path(_PACKAGE.name, shelf)
    below = Path(name)
    if below.is_relative_to(in_checkout):
        below = below.relative_to(in_checkout)
    for path in (
        *([] if beside is None else [beside / name]),
        Path(name),
        _PACKAGE / shelf / below,
    ):
        for file in (path, path.with_name(path.name + _SUFFIX)):
            if file.is_file():
                return file
    what = _NAMES[shelf]
    if below.suffix == _SUFFIX:
        raise ConfigError(f"{name}: no such file, and no {what} of this name in the package")
    known = suggest(str(name), names(shelf))
    raise ConfigError(f"{name}: no {what} of this name, and no file; {known}")


def names(shelf: Shelf) -> list[str]:
    """Return the names of what the package holds."""
    root = _PACKAGE / shelf
    files = (path.relative_to(root) for path in root.rglob(f"*{_SUFFIX}"))
    return sorted(file.with_suffix("").as_posix() for file in files if _LAYERS not in file.parts)


def name_of(shelf: Shelf, file: Path) -> str:
    """Return by what name, or else path, a file is found again."""
    try:
        return file.resolve().relative_to(_PACKAGE / shelf).with_suffix("").as_posix()
    except ValueError:
        return file.as_posix()


def runs_folder(given: Path | None = None) -> Path:
    """Return the folder below which runs lie: as given, by the environment, or the user's own."""
    from platformdirs import user_data_path  # noqa: PLC0415 - of the extra, as torch is

    return _chosen(given, RUNS) or user_data_path("streamsed") / "runs"


def cache_folder(given: Path | None = None) -> Path:
    """Return the folder of what is the same for many runs, such as simulated rooms."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - of the extra, as torch is

    return _chosen(given, CACHE) or user_cache_path("streamsed") / "train"


def _chosen(given: Path | None, variable: str) -> Path | None:
    if given is not None:
        return given
    value = os.environ.get(variable)
    return Path(value) if value else None


def _found(shelf: Shelf) -> BeforeValidator:
    def find_it(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str | Path):
            return value
        try:
            return find(shelf, value, beside=(info.context or {}).get("beside"))
        except ConfigError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(find_it)


RecipeFile = Annotated[Path, _found("recipes")]
ScenesFile = Annotated[Path, _found("soundscapes")]
"""Fields of these types hold a file that is named by path or by name."""
