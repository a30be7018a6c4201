"""Networks of two papers as members of a bundle that the runtime steps."""

from __future__ import annotations

import shutil
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
from tests.train.tiny_papers import settled
from train.checkpoint import load_model, save_model
from train.ensemble import Ensemble, read_ensemble
from train.models.conv_encoder import ConvModel
from train.models.registry import MODELS, build

DOMESTIC = Path("models/domestic")
KINDS = ("fbcrnn", "mlfl", "tag_cnn", "two_branch_student")
WEIGHTS = (1.0, 2.0, 1.0, 1.0, 4.0)
CHUNK = 4096


def noise(chunks: int, *, seed: int = 41) -> NDArray[np.float32]:
    """Bursts over a quiet background."""
    rng = np.random.default_rng(seed)
    gains = np.repeat(rng.choice([0.003, 0.3], 2 * chunks), CHUNK // 2)
    return (rng.normal(0, 1, CHUNK * chunks) * gains).astype(np.float32)


def model(kind: str, classes: tuple[str, ...]) -> ConvModel:
    torch.manual_seed(51)
    made = build(MODELS.example(kind)(classes))
    assert isinstance(made, ConvModel)
    return settled(made)


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ensemble, Path]:
    """Three networks of one paper, one of another and the shipped one, under an open gate.

    They are exported once. Every graph was held against its model on the way.
    """
    folder, shipped = tmp_path_factory.mktemp("fused"), next(DOMESTIC.glob("*.pt"))
    classes = load_model(shipped).model.config.classes
    paths = []
    for kind in KINDS:
        paths.append(folder / f"{kind}.pt")
        save_model(paths[-1], model(kind, classes), step=1)
    ensemble = read_ensemble([*paths, shipped], WEIGHTS, tag_threshold=0.0)
    _, differences = ensemble.write(
        folder / "bundle", ensemble.look_ahead(None), probes=[noise(12)]
    )
    assert len(differences) == 5
    assert max(differences.values()) < 1e-4
    return ensemble, folder / "bundle"


def test_a_fusion_with_the_shipped_bundle_runs_in_the_daemons_detector(
    fused: tuple[Ensemble, Path],
) -> None:
    """The scores that the runtime decodes are the weighted mean of the models' own."""
    ensemble, folder = fused
    manifest = load(folder).manifest
    assert [member.weight for member in manifest.members] == list(WEIGHTS)
    assert [member.tags for member in manifest.members] == [True, True, True, True, False]
    audio = noise(10 * manifest.chunk_samples // CHUNK, seed=7)
    decoded = detected(folder, audio)
    with torch.no_grad():
        own = [
            member.model.scores(torch.from_numpy(audio)[None], latency_frames=frames)[0].numpy()
            for member, frames in zip(ensemble.members, ensemble.look_ahead(None), strict=True)
        ]
    expected = sum(w * o for w, o in zip(WEIGHTS, own, strict=True)) / sum(WEIGHTS)
    np.testing.assert_allclose(decoded, expected[: len(decoded)], rtol=0, atol=1e-4)


def test_tags_of_members_gate_the_fusion(fused: tuple[Ensemble, Path], tmp_path: Path) -> None:
    """Above a threshold that no tag exceeds, nothing is left."""
    shutil.copytree(fused[1], tmp_path / "shut")
    manifest = tmp_path / "shut" / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    assert "tag_threshold: 0.0" in text
    manifest.write_text(text.replace("tag_threshold: 0.0", "tag_threshold: 1.0"), encoding="utf-8")
    audio = noise(8, seed=9)
    assert detected(fused[1], audio).max() > 0.01
    assert not detected(tmp_path / "shut", audio).any()


def test_wrong_gates_are_refused(fused: tuple[Ensemble, Path]) -> None:
    shipped = next(DOMESTIC.glob("*.pt"))
    with pytest.raises(ConfigError, match="no member yields tags"):
        read_ensemble([shipped], tag_threshold=0.5)
    with pytest.raises(ConfigError, match="must be from 0 to below 1"):
        read_ensemble([shipped], tag_threshold=1.0)


def test_what_is_laid_over_members_is_exported(
    fused: tuple[Ensemble, Path], tmp_path: Path
) -> None:
    """MLFL by its other branch, and windows of an FBCRNN that differ from class to class."""
    paths = [fused[1].parent / f"{kind}.pt" for kind in ("fbcrnn", "mlfl")]
    contexts = [4, 0, *[2] * (len(fused[0].classes) - 2)]
    changes = {"fbcrnn": {"context_frames": contexts}, "mlfl": {"detection": "surface"}}
    ensemble = read_ensemble(paths, changes=changes)
    _, differences = ensemble.write(
        tmp_path / "bundle", ensemble.look_ahead(None), probes=[noise(12)]
    )
    assert max(differences.values()) < 1e-4
    kept = load_model(tmp_path / "bundle" / "fbcrnn.pt").model.config
    assert kept.latency_frames == ensemble.members[0].model.config.shift_frames + 4
    assert load(tmp_path / "bundle").manifest.members[0].latency_frames == kept.latency_frames


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mlf": {}}, "no member is a mlf; did you mean 'mlfl'"),
        ({"mlfl": "branch"}, "mlfl: must hold keys"),
        ({"mlfl": {"detection": "tags"}}, "under .*'tags'"),
    ],
)
def test_what_does_not_fit_the_members_is_refused(
    fused: tuple[Ensemble, Path], changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_ensemble([fused[1].parent / "mlfl.pt"], changes=changes)


def detected(folder: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the fused scores ``(T, C)`` that the runtime decodes."""
    detector = Detector(Engine(load(folder), provider="cpu"))
    detector.add("room")
    for first in range(0, len(audio), 1000):
        detector.push("room", Block(audio[first : first + 1000], first))
    detector.end("room", Reason.END_OF_STREAM)
    found = {"room": Collected()}
    step_all(detector, found)
    return np.concatenate([scores for _, scores in found["room"].frames])
