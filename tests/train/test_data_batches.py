"""Batches: what stands in them, in which order, and that any step can be read alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import DataError
from tests.train.trees import tone, write_wav
from train.data.batches import Batch, OrderedBatches, TrainingBatches
from train.data.clips import Clip, ClipSet
from train.data.composition import Composition
from train.data.events import Event
from train.data.inputs import AudioInputs, ExtractedInputs, FeatureExtractor
from train.data.labels import LabelGrid
from train.data.loading import load

CLASSES = ("Cat", "Dog")
GRID = LabelGrid(CLASSES, sample_rate=16_000, frame_samples=1000, duration_s=1.0)
POWER = FeatureExtractor(
    lambda audio: np.square(audio[: len(audio) // 500 * 500].reshape(-1, 500)).mean(
        axis=1, keepdims=True
    ),
    {"name": "power"},
    sample_rate=16_000,
    hop_samples=500,
)


def test_the_grid_of_the_baseline() -> None:
    grid = LabelGrid(CLASSES)
    assert (grid.frames, grid.samples, grid.frame_s) == (156, 160_000, 0.064)
    events = (Event("Cat", 0.1, 0.2), Event("Dog", 9.9, 10.0), Event("Cat", 9.985, 10.0))
    strong = grid.strong(events)
    assert strong.shape == (156, 2)
    assert np.flatnonzero(strong[:, 0]).tolist() == [1, 2, 3]  # floor(1.56), ceil(3.12)
    assert np.flatnonzero(strong[:, 1]).tolist() == [154, 155]  # cut after 9.984 s
    np.testing.assert_array_equal(grid.weak(("Dog",)), [0.0, 1.0])


def test_the_grid_keeps_confidences_and_the_highest_where_events_overlap() -> None:
    events = [Event("Cat", 0.0, 0.2, 0.25), Event("Cat", 0.1, 0.3, 0.75), Event("Dog", 0.0, 0.0625)]
    for order in (events, events[::-1]):
        strong = GRID.strong(order)
        np.testing.assert_array_equal(strong[:6, 0], [0.25, 0.75, 0.75, 0.75, 0.75, 0.0])
        np.testing.assert_array_equal(strong[:2, 1], [1.0, 0.0])
    crop = GRID.strong(events, first_frame=2)
    np.testing.assert_array_equal(crop[:4, 0], [0.75, 0.75, 0.75, 0.0])
    assert crop.shape == (16, 2)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"classes": ("Cat", "Cat")}, "each once"),
        ({"classes": ()}, "one or more"),
        ({"classes": CLASSES, "duration_s": 0.01}, "at least one frame"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(grid: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelGrid(**grid)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(1, 12)),
    st.integers(0, 2**31),
)
def test_the_order_agrees_with_going_through_each_set(
    sets: list[tuple[int, int]], steps_per_epoch: int | None, seed: int
) -> None:
    sizes, counts = zip(*sets, strict=True)
    if steps_per_epoch is None and any(size < count for size, count in sets):
        with pytest.raises(ValueError, match="fewer clips than a batch"):
            Composition(sizes, counts, seed)
        return
    composition = Composition(sizes, counts, seed, steps_per_epoch)
    shortest = min(size // count for size, count in sets)
    assert composition.steps == (steps_per_epoch or shortest)
    for epoch in range(3):
        steps = range(epoch * composition.steps, (epoch + 1) * composition.steps)
        drawn = [composition.rows(step) for step in steps]
        for which, (size, count) in enumerate(sets):
            seen = [int(i) for rows in drawn for i in rows[which]]
            assert len(seen) == count * composition.steps
            for turn in range(0, len(seen), size):  # nothing twice before everything once
                part = seen[turn : turn + size]
                assert len(set(part)) == len(part)
                assert set(part) <= set(range(size))
    last = 3 * composition.steps - 1
    again = Composition(sizes, counts, seed, steps_per_epoch)
    for a, b in zip(again.rows(last), composition.rows(last), strict=True):
        np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_differ_and_a_larger_set_is_seen_whole_in_time() -> None:
    composition = Composition((30, 600), (10, 10), seed=1)
    first = [composition.rows(step)[0] for step in range(3)]
    second = [composition.rows(step)[0] for step in range(3, 6)]
    assert not np.array_equal(first, second)
    assert not np.array_equal(
        first, [Composition((30, 600), (10, 10), 2).rows(s)[0] for s in range(3)]
    )
    seen = {int(i) for step in range(600) for i in composition.rows(step)[1]}
    assert len(seen) == 600


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipSet, ClipSet, ClipSet]:
    """Six strong clips of 1 s, five weak ones of 0.4 s, nine unlabelled ones of 2.5 s."""
    folder = tmp_path_factory.mktemp("clips")

    def clips(name: str, count: int, seconds: float, **known: object) -> tuple[Clip, ...]:
        return tuple(
            Clip(
                f"{name}-{i}.wav",
                write_wav(folder / f"{name}-{i}.wav", tone(seconds, 100.0 * (i + 1))),
                f"{name}-{i}",
                **known,  # type: ignore[arg-type]
            )
            for i in range(count)
        )

    events = (Event("Dog", 0.25, 0.5),)
    return (
        ClipSet("strong", "strong", CLASSES, clips("strong", 6, 1.0, events=events)),
        ClipSet("weak", "weak", CLASSES, clips("weak", 5, 0.4, tags=("Cat",))),
        ClipSet("unlabelled", "unlabelled", CLASSES, clips("unlabelled", 9, 2.5)),
    )


Sets = tuple[ClipSet, ClipSet, ClipSet]


def batches(sets: Sets, **changes: int) -> TrainingBatches:
    composition = list(zip(sets, (2, 2, 4), strict=True))
    return TrainingBatches(AudioInputs(GRID), composition, **({"seed": 7} | changes))  # type: ignore[arg-type]


def test_a_batch_has_its_rows_labels_and_masks(sets: Sets) -> None:
    made = batches(sets)
    assert made.steps_per_epoch == 2
    batch = made[5]
    assert batch.inputs.shape == (8, 16_000)
    assert (
        batch.inputs.dtype
        == batch.targets["strong"].values.dtype
        == batch.targets["weak"].values.dtype
        == np.float32
    )
    assert batch.targets["strong"].values.shape == (8, 16, 2)
    assert dict(batch.rows) == {
        "strong": slice(0, 2),
        "weak": slice(2, 4),
        "unlabelled": slice(4, 8),
    }
    for name, rows in batch.rows.items():
        assert all(clip.startswith(name) for clip in batch.names[rows])
    assert batch.targets["strong"].known.tolist() == [True] * 2 + [False] * 6
    assert batch.targets["weak"].known.tolist() == [True] * 4 + [False] * 4
    assert np.flatnonzero(batch.targets["strong"].values[0, :, 1]).tolist() == [4, 5, 6, 7]
    assert not batch.targets["strong"].values[2:].any()
    np.testing.assert_array_equal(batch.targets["weak"].values[:, 0], [0, 0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(batch.targets["weak"].values[:, 1], [1, 1, 0, 0, 0, 0, 0, 0])
    assert batch.frames.tolist() == [16, 16, 7, 7, 16, 16, 16, 16]
    assert batch.inputs[2, :6400].any()
    assert not batch.inputs[2, 6400:].any()


def same(one: Batch[np.ndarray], other: Batch[np.ndarray]) -> bool:
    return one.names == other.names and np.array_equal(one.inputs, other.inputs)


def test_a_step_is_the_same_alone_in_order_and_in_workers(sets: Sets) -> None:
    whole = list(load(batches(sets), range(6)))
    resumed = list(load(batches(sets), range(3, 6), workers=2))
    for batch, again in zip(whole[3:], resumed, strict=True):
        assert isinstance(batch.inputs, torch.Tensor)
        assert batch.names == again.names
        assert batch.rows == again.rows
        assert batch.step == again.step
        for a, b in (
            (batch.inputs, again.inputs),
            (batch.targets["strong"].values, again.targets["strong"].values),
            (batch.targets["weak"].known, again.targets["weak"].known),
            (batch.frames, again.frames),
        ):
            assert torch.equal(a, b)
    assert same(batches(sets)[4], batches(sets)[4])
    assert not same(batches(sets)[4], batches(sets, seed=8)[4])


def test_an_epoch_shows_no_clip_of_a_set_twice(sets: Sets) -> None:
    made = batches(sets)
    counts = Counter(name for step in range(made.steps_per_epoch) for name in made[step].names)
    assert set(counts.values()) == {1}
    stated = batches(sets, steps_per_epoch=3)
    seen = Counter(name for step in range(3) for name in stated[step].names)
    assert sum(count for name, count in seen.items() if name.startswith("weak")) == 6
    assert max(seen.values()) == 2  # weak has five clips


def test_long_clips_are_cropped_at_random_frames_with_their_labels(tmp_path: Path) -> None:
    audio = np.zeros(40_000, np.float32)
    audio[12_000:20_000] = 0.5  # 0.75 s to 1.25 s: frames 12 to 20
    clip = Clip(
        "a.wav", write_wav(tmp_path / "a.wav", audio), "a", events=(Event("Cat", 0.75, 1.25),)
    )
    made = TrainingBatches(
        AudioInputs(GRID), [(ClipSet("long", "strong", CLASSES, (clip,)), 1)], seed=3
    )
    starts = set()
    for step in range(120):
        batch = made[step]
        active = batch.inputs[0].reshape(16, 1000).any(axis=1)
        np.testing.assert_array_equal(active, batch.targets["strong"].values[0, :, 0] > 0)
        assert batch.targets["weak"].values[0, 0] == active.any()
        starts.add(tuple(active.tolist()))
    assert len(starts) > 12
    (ordered,) = OrderedBatches(AudioInputs(GRID), made.sets[0], batch=4)
    np.testing.assert_array_equal(ordered.inputs[0], np.round(audio[:16_000] * 32768) / 32768)


def test_a_pass_over_a_set_reads_every_clip_once_in_order(sets: Sets) -> None:
    passed = OrderedBatches(AudioInputs(GRID), sets[2], batch=4)
    assert len(passed) == 3
    assert [name for batch in passed for name in batch.names] == [c.name for c in sets[2].clips]
    assert [len(batch.inputs) for batch in passed] == [4, 4, 1]


def test_processes_share_each_batch(sets: Sets) -> None:
    whole = batches(sets)[3]
    parts = [batches(sets, rank=rank, ranks=2)[3] for rank in (0, 1)]
    assert [len(part.names) for part in parts] == [4, 4]
    assert dict(parts[0].rows) == {"strong": slice(0, 1), "weak": slice(1, 2),
                                   "unlabelled": slice(2, 4)}  # fmt: skip
    together = {n: x for p in parts for n, x in zip(p.names, p.inputs, strict=True)}
    assert set(together) == set(whole.names)
    for name, row in zip(whole.names, whole.inputs, strict=True):
        np.testing.assert_array_equal(together[name], row)
    with pytest.raises(DataError, match=r"strong: 2 .* 3"):
        batches(sets, ranks=3)


def test_features_are_computed_of_the_crop(sets: Sets) -> None:
    clip = sets[2].clips[0]
    features = ExtractedInputs(GRID, POWER).read(clip, first_frame=3)
    audio = AudioInputs(GRID).read(clip, first_frame=3)
    np.testing.assert_array_equal(features, POWER.compute(audio))
    assert features.shape == (32, 1)


def test_sets_that_do_not_fit_are_refused(sets: Sets) -> None:
    other = ClipSet("other", "weak", ("Cat",), sets[1].clips)
    inputs = AudioInputs(GRID)
    with pytest.raises(DataError, match="other: classes Cat; the labels' columns are Cat, Dog"):
        TrainingBatches(inputs, [(other, 1)], seed=0)
    with pytest.raises(DataError, match="no set may have fewer clips than a batch takes"):
        TrainingBatches(inputs, [(sets[0], 12)], seed=0)
    with pytest.raises(DataError, match="each must have a name of its own"):
        TrainingBatches(inputs, [(sets[0], 1), (sets[0], 1)], seed=0)
    with pytest.raises(DataError, match="must be 1 or more"):
        TrainingBatches(inputs, [(ClipSet("none", "weak", CLASSES, ()), 1)], seed=0)
