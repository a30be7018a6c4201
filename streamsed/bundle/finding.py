"""Where bundles are: by path, or by name in the places where they are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from streamsed.bundle.manifest import MANIFEST_FILE
from streamsed.errors import BundleError

DEFAULT_BUNDLE = Path("domestic")
"""The bundle that ships with the package."""
ENVIRONMENT = "STREAMSED_MODELS"
"""Folders of bundles, with colons between, that are searched before what is installed."""
SYSTEM_MODELS = Path("/usr/share/streamsed/models")
_MODELS = "models"
_PACKAGE = Path(__file__).parent.parent


def model_folders(beside: Path | None = None) -> list[Path]:
    """Return the folders in which bundles are looked for by name, the first to count first.

    Args:
        beside: folder of the configuration; None for the working directory.
    """
    folders = [Path(text).expanduser() for text in _environment()]
    if beside is None:
        beside = Path()
    folders += [beside, beside / _MODELS, _PACKAGE / _MODELS]
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():  # not installed, or installed as editable
        folders.append(checkout / _MODELS)
    return list(dict.fromkeys((*folders, SYSTEM_MODELS)))


def find_bundle(bundle: Path, *, beside: Path | None = None) -> Path:
    """Return the folder of a bundle that is given by its path or by its name.

    A path is taken as it stands, or relative to ``beside``. What is no such folder and has no
    ``/`` in it, or only that of ``models/NAME``, is a name, and is looked for in
    :func:`model_folders`.

    Args:
        bundle: path or name.
        beside: folder of the configuration that names it; None for the working directory.

    Raises:
        BundleError: there is no such bundle; lists where it was looked for. Or it is the graph of
            a model, of which a bundle has yet to be made.
    """
    path = (beside or Path()) / bundle
    name = _name(bundle)
    # A folder that only has the name of a bundle, such as one of recordings, is not meant.
    if path.is_dir() and (name is None or (path / MANIFEST_FILE).is_file()):
        return path
    if path.is_file() or bundle.suffix == ".onnx":
        raise BundleError(_no_folder(bundle, exists=path.is_file()))
    if name is None:
        raise BundleError(f"{path}: no such bundle; a folder with {MANIFEST_FILE} is wanted")
    folders = model_folders(beside)
    for folder in folders:
        if (folder / name / MANIFEST_FILE).is_file():
            return folder / name
    raise BundleError(
        f"{bundle}: no such bundle; there is no {name}/{MANIFEST_FILE} in "
        f"{', '.join(str(folder.absolute()) for folder in folders)}; "
        f"streamsed bundle list shows what there is, and {ENVIRONMENT} adds folders"
    )


def find_bundles(beside: Path | None = None) -> Iterator[Path]:
    """Yield every folder with a manifest in :func:`model_folders`, in the order of the search.

    A bundle is found by its name if it is the first of that name.
    """
    for folder in model_folders(beside):
        if folder.is_dir():
            for manifest in sorted(folder.glob(f"*/{MANIFEST_FILE}")):
                yield manifest.parent


def _environment() -> list[str]:
    return [text for text in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if text]


def _name(bundle: Path) -> str | None:
    """Return a bundle's name if it is given by one; None if it is given by a path."""
    match bundle.parts:
        case (name,) | ("models", name):
            return name
        case _:
            return None


def _no_folder(bundle: Path, *, exists: bool) -> str:
    if bundle.suffix != ".onnx":
        return f"{bundle}: is a file; a bundle is a folder with {MANIFEST_FILE}"
    if not exists:
        return f"{bundle}: no such file; and a bundle is a folder with {MANIFEST_FILE}"
    return (
        f"{bundle}: is a model, of which a bundle has yet to be made: streamsed bundle make "
        f"{bundle} --labels LABELS.txt -o {bundle.with_suffix('').name}"
    )
