"""Fusion: weights, alignment, tag gate."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import bundle
from streamsed.bundle import Manifest
from streamsed.detect.fusion import DelayLine, Fusion
from streamsed.errors import ConfigError
from tests.bundles import ToneMember, make_bundle

FRAMES, CLASSES = 4, 3


def _manifest(folder: Path, *members: ToneMember, theta: float | None = None) -> Manifest:
    postprocessing = {} if theta is None else {"mid": {"tag_threshold": theta}}
    path = make_bundle(folder, members=members, postprocessing=postprocessing)
    return bundle.load(path).manifest


@settings(deadline=None)
@given(st.integers(0, 9), st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=12))
def test_a_delay_line_delays_every_stream_by_itself(delay: int, steps: list[set[int]]) -> None:
    line = DelayLine(delay, 1)
    put: dict[int, list[float]] = {slot: [0.0] * delay for slot in range(5)}
    value = 0.0
    for chosen in steps:
        slots = sorted(chosen)
        frames = np.zeros((len(slots), FRAMES, 1), np.float32)
        for row, slot in enumerate(slots):
            for frame in range(FRAMES):
                value += 1.0
                frames[row, frame] = value
                put[slot].append(value)
        delayed = line.push(slots, frames)
        for row, slot in enumerate(slots):
            begin = len(put[slot]) - FRAMES - delay
            assert delayed[row, :, 0].tolist() == put[slot][begin : begin + FRAMES]


def test_a_reset_stream_is_forgotten() -> None:
    line = DelayLine(2, 1)
    line.push([0, 1], np.ones((2, FRAMES, 1), np.float32))
    line.reset(0)
    line.reset(7)  # never seen
    delayed = line.push([0, 1], np.ones((2, FRAMES, 1), np.float32))
    assert delayed[:, :, 0].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]


def test_members_are_aligned_and_weighted(tmp_path: Path) -> None:
    late = ToneMember(name="late", latency_frames=6, weight=1.0)
    soon = ToneMember(name="soon", latency_frames=1, weight=3.0)
    manifest = _manifest(tmp_path, late, soon)
    fusion = Fusion(manifest, manifest.postprocessing)
    generator = np.random.default_rng(0)
    truth = generator.random((7 * FRAMES, CLASSES)).astype(np.float32)
    # What each member gives at step k: frames k * F - latency onwards.
    padded = np.concatenate([np.zeros((6, CLASSES), np.float32), truth])
    fused = []
    for step in range(7):
        first = step * FRAMES + 6
        given = [padded[None, first - lag : first - lag + FRAMES] for lag in (6, 1)]
        fused.append(fusion.fuse([0], [given[0], 0.5 * given[1]])[0])
    aligned = np.concatenate(fused)[6:]
    np.testing.assert_allclose(aligned, (0.25 + 0.75 * 0.5) * truth[: len(aligned)], rtol=1e-6)


def test_one_member_comes_out_as_it_is(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ToneMember(weight=0.3))
    scores = np.random.default_rng(0).random((2, FRAMES, CLASSES)).astype(np.float32)
    fused = Fusion(manifest, manifest.postprocessing).fuse([0, 1], [scores])
    np.testing.assert_array_equal(fused, scores)
    assert not np.shares_memory(fused, scores)


def test_fused_scores_do_not_exceed_one(tmp_path: Path) -> None:
    members = [ToneMember(name=f"m{i}", weight=w) for i, w in enumerate((0.1, 0.7, 0.3, 0.6))]
    manifest = _manifest(tmp_path, *members)
    ones = np.ones((1, FRAMES, CLASSES), np.float32)
    fused = Fusion(manifest, manifest.postprocessing).fuse([0], [ones] * 4)
    assert fused.max() <= 1.0


def test_the_gate_closes_classes_below_their_tag(tmp_path: Path) -> None:
    gating = ToneMember(name="gating", tags=True, latency_frames=2)
    manifest = _manifest(tmp_path, gating, ToneMember(name="late", latency_frames=4), theta=0.5)
    fusion = Fusion(manifest, manifest.postprocessing)
    scores = np.full((1, FRAMES, CLASSES), 0.8, np.float32)
    open_tags = np.array([[0.0, 0.6, 0.0]], np.float32)
    at_threshold = np.array([[0.0, 0.5, 0.0]], np.float32)
    first = fusion.fuse([0], [scores, scores], [open_tags])
    second = fusion.fuse([0], [scores, scores], [at_threshold])
    # Two frames of the tag line are still empty; then the tag holds for its step's four frames.
    assert (first[0, :, 1] > 0).tolist() == [False, False, True, True]
    assert (second[0, :, 1] > 0).tolist() == [True, True, False, False]
    assert (second[0, :, [0, 2]] > 0).all()


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"drums": 1.0}, "unknown member 'drums'; the bundle has tones"),
        ({"tones": 0.0}, "'tones' is 0.0; it must be above 0"),
        ({"tones": float("nan")}, "'tones' is nan"),
    ],
)
def test_odd_weights_are_refused(tmp_path: Path, weights: dict[str, float], problem: str) -> None:
    manifest = _manifest(tmp_path, ToneMember())
    with pytest.raises(ConfigError, match=problem):
        Fusion(manifest, manifest.postprocessing, weights)


def test_a_gate_wants_tags(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, ToneMember())
    gate = manifest.postprocessing["mid"].model_copy(update={"tag_threshold": 0.5})
    with pytest.raises(ConfigError, match="'mid': tag_threshold "):
        Fusion(manifest, {**manifest.postprocessing, "mid": gate})
