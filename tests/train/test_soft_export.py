"""Models of soft labels in bundles: graphs, hard events, and a detector of long frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamsed.bundle import load
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.sources.block import Block
from tests.train.kinds_of_data import small_recipe
from tests.train.soft_set import SCENES, write_soft_set
from tests.train.test_soft_models import TINY_WAV2VEC2, config, noise, settled
from train.checkpoint import save_model
from train.data.desed import read_desed
from train.data.events import Event
from train.data.hard_view import hard_events, hard_view
from train.data.maestro import read_maestro
from train.ensemble import read_ensemble
from train.export import check_parity, export_step
from train.held_out import HeldOut

FORMS = {
    "causal": {},
    "causal_ahead": {"before": 3, "after": 2, "fusion": "concatenation", "mean": False},
    "window": {"before": 2, "after": 2, "causal": False},
    "wav2vec2": {"query": "wav2vec2", "wav2vec2": TINY_WAV2VEC2},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_scores_as_the_model_does(form: str, tmp_path: Path) -> None:
    model = settled(config(**FORMS[form]))
    member = export_step(model, tmp_path / "m.onnx", name="m")
    assert member.latency_frames == model.config.after
    audio = noise(20, model.config)[0].numpy()
    assert check_parity(model, tmp_path / "m.onnx", member, audio) < 1e-4


def test_a_detector_reports_frames_of_a_second(tmp_path: Path) -> None:
    """The runtime, from audio in odd blocks to the onset of a class, at seconds alone."""
    second = config(
        front_end=replace(config().front_end, n_fft=2048, window_samples=1600, hop_samples=800),
        frame_hops=20,
        context_hops=4,
        chunk_samples=16_000,
    )
    model = settled(second)
    save_model(tmp_path / "m.pt", model, step=1)
    ensemble = read_ensemble([tmp_path / "m.pt"], None)
    manifest, differences = ensemble.write(tmp_path / "slow", (0,))
    assert max(differences.values()) < 1e-4
    bundle = load(tmp_path / "slow")
    assert bundle.manifest.frame_s == 1.0
    assert manifest["members"][0]["states"][-1]["name"] == "inside"
    audio = noise(8, second)[0]
    with torch.no_grad():
        scores = model.scores(audio[None])[0].numpy()
    found: list[np.ndarray] = []
    detector = Detector(Engine(bundle, provider="cpu"))
    detector.add("s")
    position = 0
    for block in np.array_split(audio.numpy(), 31):
        detector.push("s", Block(block, position))
        position += len(block)
        while (result := detector.step()) is not None:
            found += [frames.scores for frames in result.frames]
    assert [len(each) for each in found] == [1] * 8
    np.testing.assert_allclose(np.concatenate(found), scores, atol=1e-4)


def test_events_of_soft_labels_are_what_reaches_a_half() -> None:
    labels = (
        Event("a", 0.0, 1.0, 0.4),
        Event("a", 1.0, 2.0, 0.5),
        Event("a", 2.0, 3.0, 0.9),
        Event("b", 2.0, 3.0, 0.6),
        Event("a", 4.0, 5.0, 1.0),
    )
    assert hard_events(labels) == (
        Event("a", 1.0, 3.0), Event("b", 2.0, 3.0), Event("a", 4.0, 5.0),
    )  # fmt: skip


def test_a_fold_is_fitted_and_reported_on_as_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSED_CACHE", str(tmp_path / "cache"))
    root = write_soft_set(tmp_path / "set")
    classes = ("Speech", "Frying")
    options = {"classes": classes, "scenes": tuple(SCENES)}
    for _ in range(2):  # the second time over what is there
        view = hard_view(root, fold=2, cache=tmp_path / "cache", **options)
        for part, name in (("strong_validation", "val"), ("validation", "test")):
            soft = read_maestro(root, fold=2, part=name, **options)  # type: ignore[arg-type]
            hard = read_desed(view, part, classes=classes)  # type: ignore[arg-type]
            wanted = {clip.path.name: hard_events(clip.events or ()) for clip in soft.clips}
            assert {clip.name: clip.events for clip in hard.clips} == wanted
    held_out = HeldOut(small_recipe("soft"), root)
    windows, _ = held_out.windows()
    assert windows is not None
    assert set(windows) == set(classes)
    assert "--ground-truth" in held_out.command(Path("slow"))
