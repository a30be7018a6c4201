"""The graphs of a bundle, exported anew from its checkpoints; nothing else of it changes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from streamsed.bundle import load, write_manifest
from streamsed.bundle.manifest import MANIFEST_FILE
from streamsed.detect.engine import Engine
from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.export import check_parity, export_step
from train.postprocess.rewriting import BundleWriteError, check_writable, move_into_place


def regraph(bundle: Path) -> dict[str, float]:
    """Export the members of a bundle again, as this version writes graphs.

    The stored self-test stays, so the new graphs are held against what the old ones computed as
    well as against their models.

    Args:
        bundle: folder of a bundle that holds a checkpoint for every member; replaced in one move.

    Returns:
        The largest difference of each member's graph to its model.

    Raises:
        ConfigError: a checkpoint is missing.
        ExportError: a graph differs from its model.
        BundleError: the new graphs fail the self-test of the old.
        BundleWriteError: it cannot be written; the bundle is as it was.
    """
    loaded, target, differences = load(bundle), bundle.resolve(), {}
    check_writable(target, replace=True)
    manifest = loaded.manifest
    missing = [m.name for m in manifest.members if not (target / f"{m.name}.pt").is_file()]
    if missing:
        raise ConfigError(f"{bundle}: holds no checkpoint {missing[0]}.pt to export")
    audio = np.ascontiguousarray(loaded.selftest.chunks.reshape(-1), dtype=np.float32)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
            draft = Path(beside) / target.name
            shutil.copytree(target, draft)
            for member in manifest.members:
                model = load_model(draft / f"{member.name}.pt").model
                entry = export_step(
                    model,
                    draft / member.graph,
                    name=member.name,
                    latency_frames=member.latency_frames,
                    tags=member.tags,
                )
                differences[member.name] = check_parity(model, draft / member.graph, entry, audio)
            content = manifest.model_dump(mode="json", by_alias=True, exclude={"files"})
            (draft / MANIFEST_FILE).unlink()
            write_manifest(draft, content, files=manifest.files)
            Engine(load(draft), provider="cpu")  # runs the self-test
            move_into_place(draft, target, Path(beside) / "before")
    except OSError as error:
        raise BundleWriteError(f"{target}: cannot be written: {error.strerror}") from error
    return differences
