"""Writing the manifest of a bundle, the last step of an export."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from streamsed.bundle.manifest import MANIFEST_FILE, SELFTEST_FILE, Manifest


def write_manifest(
    folder: Path, manifest: Mapping[str, Any], *, files: Iterable[str] = ("card.md",)
) -> Manifest:
    """Write ``manifest.yaml`` with the sha256 of the files that lie in the folder.

    Args:
        folder: holds the graphs and ``selftest.npz`` already.
        manifest: everything of a manifest but ``files``, as plain YAML values.
        files: further files of the bundle; those that do not exist are left out.

    Returns:
        The manifest that was written.

    Raises:
        OSError: a graph or the self-test is missing.
        pydantic.ValidationError: the manifest is inconsistent.
    """
    folder = Path(folder)
    needed = {SELFTEST_FILE, *(member["graph"] for member in manifest["members"])}
    present = {name for name in files if (folder / name).is_file()}
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in sorted(needed | present)
    }
    checked = Manifest.model_validate({**manifest, "files": digests})
    # As validated, not as given: tuples and defaults are written out.
    content = checked.model_dump(mode="json", by_alias=True)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return checked


def write_selftest(
    folder: Path, *, chunks: NDArray[np.float32], scores: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write ``selftest.npz``: K consecutive steps of one stream from its initial state.

    Args:
        folder: the bundle's folder.
        chunks: ``(K, chunk_samples)`` float32.
        scores: for each member ``(K, frames_per_chunk, C)`` float32.
    """
    arrays: dict[str, Any] = {
        "chunks": chunks,
        **{f"scores_{name}": array for name, array in scores.items()},
    }
    np.savez_compressed(Path(folder) / SELFTEST_FILE, **arrays)
