"""Handing over to another detector: no sample is lost, and only what has to ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import bundle
from streamsed.bundle import Bundle
from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.decoder import Decoder
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.handover import hand_over
from streamsed.sources.block import Block
from tests.bundles import SAMPLE_RATE, ToneMember, make_bundle, tones
from tests.detect.run import Array, Collected, assert_paired, cut, detect, note, step_all

CHUNK = 1024
SOURCE = "kitchen"
AUDIO = tones(
    [("low", 0.1, 0.9), ("mid", 0.2, 0.5), ("low", 1.0, 1.3), ("high", 0.4, 1.5)], duration_s=1.7
)
PLACES = st.lists(st.integers(1, len(AUDIO) - 1), max_size=12, unique=True)
WHEN = st.integers(0, len(AUDIO) // CHUNK)


@pytest.fixture(scope="session")
def other_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Another model: another chunk, no look-ahead, other scores."""
    folder = tmp_path_factory.mktemp("tones") / "other"
    members = (ToneMember(sharpness=1.5),)
    path = make_bundle(folder, members=members, chunk_samples=1536, name="other")
    return Engine(bundle.load(path), provider="cpu")


def entries(detector: Detector, **changes: Mapping[str, Any]) -> dict[str, ClassPostprocessing]:
    """Return the postprocessing of a detector's bundle with single values changed."""
    manifest = detector.engine.manifest
    return {
        label: ClassPostprocessing.model_validate(entry.model_dump() | dict(changes.get(label, {})))
        for label, entry in manifest.postprocessing.items()
    }


def handed_over(
    old: Detector, new: Detector, blocks: list[Block], *, after_steps: int, **options: Any
) -> tuple[Collected, Collected, int]:
    """Run a source; hand over once it has made so many steps, or is at its end.

    Returns:
        What was detected until then, what after, and the sample it happened at.
    """
    before, after = {SOURCE: Collected()}, {SOURCE: Collected()}
    detector, emitted, steps = old, before, 0
    old.add(SOURCE)
    at_sample = 0

    def step() -> bool:
        nonlocal detector, emitted, steps, at_sample
        if detector is old and steps == after_steps:
            for result in hand_over(old, new, **options):
                note(result, before)
            detector, emitted = new, after
        result = detector.step()
        if result is None:
            return False
        steps += 1
        note(result, emitted)
        at_sample += detector.engine.manifest.chunk_samples if detector is old else 0
        return True

    for block in blocks:
        detector.push(SOURCE, block)
        while step():
            pass
    if detector is old:
        for result in hand_over(old, new, **options):
            note(result, before)
        detector, emitted = new, after
    detector.end(SOURCE, Reason.END_OF_STREAM)
    step_all(detector, after)
    return before[SOURCE], after[SOURCE], at_sample


def of_class(transitions: list[Transition], label: str) -> list[tuple[Any, ...]]:
    return [
        (t.kind, t.onset_sample, t.offset_sample, t.reason) for t in transitions if t.label == label
    ]


@settings(max_examples=30, deadline=None)
@given(places=PLACES, after_steps=WHEN)
def test_the_same_rules_change_nothing(
    looking_ahead: Engine, places: list[int], after_steps: int
) -> None:
    blocks = cut(AUDIO, places)
    before, after, _ = handed_over(
        Detector(looking_ahead), Detector(looking_ahead), blocks, after_steps=after_steps
    )
    undisturbed = detect(Detector(looking_ahead), blocks)
    assert before.transitions + after.transitions == undisturbed.transitions
    frames = before.frames + after.frames
    assert [first for first, _ in frames] == [first for first, _ in undisturbed.frames]
    assert all(
        np.array_equal(mine, theirs)
        for (_, mine), (_, theirs) in zip(frames, undisturbed.frames, strict=True)
    )


@settings(max_examples=30, deadline=None)
@given(places=PLACES, after_steps=WHEN)
def test_updates_may_come_more_often_without_ending_anything(
    looking_ahead: Engine, places: list[int], after_steps: int
) -> None:
    blocks = cut(AUDIO, places)
    for old_s, new_s in ((0.0, 0.1), (0.1, 0.0), (0.3, 0.05)):
        before, after, _ = handed_over(
            Detector(looking_ahead, update_every_s=old_s),
            Detector(looking_ahead, update_every_s=new_s),
            blocks,
            after_steps=after_steps,
        )
        undisturbed = detect(Detector(looking_ahead), blocks)
        emitted = before.transitions + after.transitions
        assert [t for t in emitted if t.kind is not Kind.UPDATE] == undisturbed.transitions
        updates = [t for t in after.transitions if t.kind is Kind.UPDATE]
        length = round(new_s / looking_ahead.manifest.frame_s) or 10**9
        for update in updates:
            spans = [t for t in undisturbed.transitions if t.number == update.number]
            received = update.decided_sample - update.onset_sample
            assert received >= length * looking_ahead.manifest.frame_samples
            assert len(spans) == 2


@settings(max_examples=30, deadline=None)
@given(places=PLACES, after_steps=WHEN)
def test_only_the_class_whose_rules_change_notices(
    looking_ahead: Engine, places: list[int], after_steps: int
) -> None:
    blocks = cut(AUDIO, places)
    old = Detector(looking_ahead)
    changed = entries(old, low={"enter": 0.4, "median_s": 0.16, "min_on_s": 0.0})
    before, after, _ = handed_over(
        old, Detector(looking_ahead, changed), blocks, after_steps=after_steps
    )
    undisturbed = detect(Detector(looking_ahead), blocks)
    emitted = before.transitions + after.transitions
    assert_paired(emitted)
    for label in ("mid", "high"):
        assert of_class(emitted, label) == of_class(undisturbed.transitions, label)
    # The class that changes: two decoders, one after the other, on the same frames.
    frames = [before.frames, after.frames]
    rules = [Detector(looking_ahead)._rules, Detector(looking_ahead, changed)._rules]
    expected: list[tuple[Any, ...]] = []
    for half, rule, reason in zip(
        frames, rules, (Reason.RELOAD, Reason.END_OF_STREAM), strict=True
    ):
        if half:
            expected += of_class(decoded(half, rule, reason), "low")
    assert of_class(emitted, "low") == expected


def decoded(frames: list[tuple[int, Array]], rules: Any, reason: Reason) -> list[Transition]:
    decoder = Decoder(rules, frame_samples=256, frames_per_step=4)
    decoder.begin(
        0,
        SOURCE,
        first_sample=frames[0][0],
        first_received_sample=len(AUDIO),
        place_in_step=0,
        numbers=iter(range(100)),
    )
    transitions = []
    for first_sample, scores in frames:
        received_sample = first_sample + 256 * len(scores)
        transitions += decoder.push([0], scores[None], [received_sample]).transitions
    return transitions + decoder.end(0, reason, len(AUDIO)).transitions


@settings(max_examples=30, deadline=None)
@given(places=PLACES, after_steps=WHEN)
def test_another_model_begins_where_the_old_one_was(
    looking_ahead: Engine, other_engine: Engine, places: list[int], after_steps: int
) -> None:
    before, after, at_sample = handed_over(
        Detector(looking_ahead), Detector(other_engine), cut(AUDIO, places), after_steps=after_steps
    )
    at_sample = min(at_sample, len(AUDIO))
    assert_paired(before.transitions + after.transitions)
    expected = detect(Detector(looking_ahead), [Block(AUDIO[:at_sample], 0)], reason=Reason.RELOAD)
    assert before.transitions == expected.transitions
    assert before.ended == 0, "the source goes on"
    rest = detect(Detector(other_engine), [Block(AUDIO[at_sample:], at_sample)])
    first_number = sum(t.kind is Kind.ONSET for t in before.transitions)
    assert [
        (t.kind, t.number - first_number, t.label, t.onset_sample, t.offset_sample, t.reason)
        for t in after.transitions
    ] == [
        (t.kind, t.number, t.label, t.onset_sample, t.offset_sample, t.reason)
        for t in rest.transitions
    ]
    assert after.ended == 1


def test_gaps_and_bad_samples_are_handed_over(looking_ahead: Engine, other_engine: Engine) -> None:
    """What waits is a bit of one segment and two more after gaps."""
    old, new = Detector(looking_ahead), Detector(other_engine)
    old.add(SOURCE)
    audio = AUDIO.copy()
    audio[0] = np.nan
    old.push(SOURCE, Block(audio[:1500], 0))
    assert old.step() is not None
    for first in (4000, 9000):
        old.push(SOURCE, Block(audio[first : first + 2000], first))
    hand_over(old, new)
    assert new.bad_samples(SOURCE) == 1
    assert new.pending_samples(SOURCE) == 1500 - CHUNK + 2 * 2000
    received = {SOURCE: Collected()}
    new.end(SOURCE, Reason.END_OF_STREAM)
    step_all(new, received)
    starts = {first for first, _ in received[SOURCE].frames}
    assert {CHUNK, 4000, 9000} <= starts


def test_a_source_that_has_ended_is_drained_by_the_old_model(
    looking_ahead: Engine, other_engine: Engine
) -> None:
    old, new = Detector(looking_ahead), Detector(other_engine)
    for source in ("done", "going"):
        old.add(source)
        old.push(source, Block(AUDIO[: 8 * CHUNK], 0))
    old.end("done", Reason.END_OF_STREAM)
    assert old.step() is not None
    received = {"done": Collected(), "going": Collected()}
    for result in hand_over(old, new):
        note(result, received)
    assert new.sources == ("going",)
    assert (received["done"].ended, received["going"].ended) == (1, 0)
    (first, *_) = received["done"].events[-1:]
    assert first[3] is Reason.END_OF_STREAM


def test_other_weights_restart_every_class_and_keep_what_members_remember(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    members = (ToneMember(name="dull"), ToneMember(name="late", latency_frames=3, sharpness=4.0))
    folder = make_bundle(tmp_path_factory.mktemp("two"), members=members)
    engine = Engine(bundle.load(folder), provider="cpu")
    old = Detector(engine)
    new = Detector(engine, fusion_weights={"dull": 3.0})
    before, after, _ = handed_over(old, new, cut(AUDIO, []), after_steps=5)
    assert_paired(before.transitions + after.transitions)
    ended = [t for t in before.transitions if t.kind is Kind.OFFSET and t.reason is Reason.RELOAD]
    assert {t.label for t in ended} == {"low", "mid"}
    undisturbed = detect(Detector(engine, fusion_weights={"dull": 3.0}), cut(AUDIO, []))
    late = [(first, scores) for first, scores in undisturbed.frames if first >= 6 * CHUNK]
    found = [(first, scores) for first, scores in after.frames if first >= 6 * CHUNK]
    assert late
    for (first, mine), (other, theirs) in zip(found, late, strict=True):
        assert first == other
        assert np.array_equal(mine, theirs)


def test_a_class_can_be_restarted_though_its_rules_stay(tone_bundle: Bundle) -> None:
    engine = Engine(tone_bundle, provider="cpu")
    audio = tones([("low", 0.0, 1.0), ("mid", 0.0, 1.0)], duration_s=1.0)
    before, after, at_sample = handed_over(
        Detector(engine), Detector(engine), [Block(audio, 0)], after_steps=5, restarted={"low"}
    )
    emitted = before.transitions + after.transitions
    assert_paired(emitted)
    assert [reason for *_, reason in of_class(emitted, "mid")] == [None, Reason.END_OF_STREAM]
    assert at_sample == 5 * CHUNK
    assert of_class(emitted, "low")[1:3] == [
        (Kind.OFFSET, 0, at_sample, Reason.RELOAD),
        (Kind.ONSET, at_sample, None, None),
    ]
    assert at_sample < SAMPLE_RATE
