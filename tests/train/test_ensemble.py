"""Several checkpoints as one bundle: how they are named, weighed and stepped, and what runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamsed.bundle import load
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Reason
from streamsed.errors import ConfigError
from streamsed.sources.block import Block
from tests.detect.run import Collected, step_all
from tests.train.tiny_models import tiny_model
from train.checkpoint import save_model
from train.ensemble import Ensemble, read_ensemble
from train.models.model import SoundEventModel
from train.models.registry import build

WEIGHTS = (1.0, 3.0)


def save(folder: Path, model: SoundEventModel, name: str = "best.pt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / name, model, step=1)
    return folder / name


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A causal model, trained to look 3 frames ahead, and a windowed one of longer steps."""
    folder = tmp_path_factory.mktemp("checkpoints")
    windowed = tiny_model("gru")
    longer = build(replace(windowed.config, chunk_samples=8192)).eval()
    longer.load_state_dict(windowed.state_dict())
    return [save(folder / "a", tiny_model("causal")), save(folder / "b", longer)]


@pytest.fixture(scope="module")
def ensemble(paths: list[Path]) -> Ensemble:
    return read_ensemble(paths, WEIGHTS)


def noise(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(6).normal(0, 0.1, samples).astype(np.float32)


def test_members_have_names_of_their_own_and_one_step(ensemble: Ensemble) -> None:
    assert [member.name for member in ensemble.members] == ["best-1", "best-2"]
    assert {member.model.config.chunk_samples for member in ensemble.members} == {8192}
    assert ensemble.chunk_s == 0.512


def test_a_bundle_of_two_members_runs_in_the_detector(ensemble: Ensemble, tmp_path: Path) -> None:
    """What the runtime decodes is the weighted mean of the models' own scores, frame for frame."""
    look_ahead = ensemble.look_ahead(0.5)
    assert look_ahead == (3, 7)
    ensemble.write(tmp_path / "two", look_ahead, probes=[noise(50_000)])
    bundle = load(tmp_path / "two")
    assert [member.weight for member in bundle.manifest.members] == list(WEIGHTS)
    assert bundle.manifest.latency_frames == 7
    detector = Detector(Engine(bundle, provider="cpu"))
    audio = noise(12 * 8192 + 1500)  # ends inside a frame
    detector.add("room")
    for first in range(0, len(audio), 1000):
        detector.push("room", Block(audio[first : first + 1000], first))
    detector.end("room", Reason.END_OF_STREAM)
    collected = {"room": Collected()}
    step_all(detector, collected)
    decoded = np.concatenate([scores for _, scores in collected["room"].frames])
    padded = torch.from_numpy(np.append(audio, np.zeros(-len(audio) % 8192, np.float32)))[None]
    with torch.no_grad():
        own = [
            member.model.scores(padded, latency_frames=frames)[0]
            for member, frames in zip(ensemble.members, look_ahead, strict=True)
        ]
    expected = ((WEIGHTS[0] * own[0] + WEIGHTS[1] * own[1]) / sum(WEIGHTS)).numpy()
    assert len(decoded) == -(-len(audio) // 1024)
    np.testing.assert_allclose(decoded, expected[: len(decoded)], rtol=0, atol=1e-4)


def test_look_ahead_is_as_long_as_is_asked_for_and_no_longer(ensemble: Ensemble) -> None:
    assert ensemble.look_ahead(None) == (3, 6)
    assert ensemble.look_ahead(0.2) == (3, 3)
    assert ensemble.look_ahead(0.256) == (3, 4)
    assert ensemble.at_most(0.0) == (3, 0)
    assert ensemble.at_most(99.0) == (3, 14)


@pytest.mark.parametrize("latency_s", [0.0, 0.19, 1.0, -1.0, 500.0])
def test_a_look_ahead_that_cannot_be_met_is_one_clear_line(
    ensemble: Ensemble, latency_s: float
) -> None:
    with pytest.raises(ConfigError, match=r"0\.192 to 0\.896 s would be right") as caught:
        ensemble.look_ahead(latency_s)
    assert "\n" not in str(caught.value)


def test_a_trained_look_ahead_cannot_be_undercut(paths: list[Path]) -> None:
    causal = read_ensemble(paths[:1])
    assert causal.look_ahead(2.0) == (3,)
    with pytest.raises(ConfigError, match=r"0\.192 s or more would be right"):
        causal.look_ahead(0.1)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
def test_wrong_weights_are_refused(paths: list[Path], weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="--weights"):
        read_ensemble(paths, weights)


def test_members_that_do_not_fit_are_refused(paths: list[Path], tmp_path: Path) -> None:
    model = tiny_model("causal")
    other = build(replace(model.config, classes=("x", "y", "z")))
    with pytest.raises(ConfigError, match="classes differs"):
        read_ensemble([paths[0], save(tmp_path, other)])
