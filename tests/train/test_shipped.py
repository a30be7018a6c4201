"""The shipped bundles against the checkpoints that they were exported from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamsed.bundle import load
from train.checkpoint import load_model
from train.export import check_parity

MODELS = sorted(path.parent for path in Path("models").glob("*/manifest.yaml"))
RECORDING = Path("examples/kitchen.ogg")


def test_the_shipped_bundles_are_there() -> None:
    assert {path.name for path in MODELS} >= {"domestic", "domestic-jss"}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_graphs_equal_the_offline_forward_over_a_recording(folder: Path) -> None:
    manifest = load(folder).manifest
    audio, rate = soundfile.read(RECORDING, dtype="float32", always_2d=True)
    mono = soxr.resample(audio.mean(axis=1), rate, manifest.sample_rate).astype(np.float32)
    for member in manifest.members:
        model = load_model(folder / f"{member.name}.pt").model
        assert check_parity(model, folder / member.graph, member, mono) < 1e-4


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_bundle_is_small_and_says_what_it_is(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    manifest, card = load(folder).manifest, (folder / "card.md").read_text()
    for licence in manifest.provenance.licences:
        assert licence in card
    for label in manifest.classes:
        assert card.count(f"| {label} |") >= 2, "figures and thresholds of each class"
