"""The decoder: many sources and steps together give what each alone gives, and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, cycle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.detect.decoder import Decoded, Decoder
from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.median import median_filter
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import find_events

Array = NDArray[np.float32]

FIRST_SAMPLE, FRAME_SAMPLES, FRAMES_PER_STEP = 512, 256, 4
AHEAD = 100  # samples received beyond the last frame of a step: the look-ahead
RULES = st.builds(
    FrameRules,
    enter=st.sampled_from([0.5, 0.75]),
    exit=st.sampled_from([0.25, 0.5]),
    median=st.sampled_from([1, 3, 9, 25]),
    min_on=st.integers(1, 6),
    min_off=st.integers(1, 9),
    max_on=st.none() | st.integers(6, 20),
    update=st.sampled_from([0, 1, 3, 10]),
)


@st.composite
def scores(draw: st.DrawFn, *, frames: int) -> list[float]:
    """Runs of one score, short and long, with a score of their own now and then."""
    runs = st.tuples(st.sampled_from([0.1, 0.3, 0.6, 0.9]), st.integers(1, 12))
    drawn: list[float] = []
    while len(drawn) < frames:
        score, length = draw(runs)
        drawn += [score] * length
    return drawn[:frames]


def decoded(
    sources: Sequence[Array],
    rules: Sequence[FrameRules],
    *,
    place_in_step: int,
    steps_at_once: Sequence[int],
) -> list[tuple[list[Transition], Array]]:
    """Decode sources together, some steps at a time; return transitions and filtered frames.

    Args:
        sources: scores ``(T, C)`` of each; a source that ends does not hold up the others.
        rules: for each class.
        place_in_step: of the first frame.
        steps_at_once: of each push, over and over.
    """
    decoder = Decoder(
        [(f"class {number}", rule) for number, rule in enumerate(rules)],
        frame_samples=FRAME_SAMPLES,
        frames_per_step=FRAMES_PER_STEP,
        keep_filtered=True,
    )
    transitions: list[list[Transition]] = [[] for _ in sources]
    filtered: list[list[Array]] = [[] for _ in sources]

    def note(decoded: Decoded) -> None:
        for transition in decoded.transitions:
            transitions[int(transition.source)].append(transition)
        for frames in decoded.filtered:
            parts = filtered[int(frames.source)]
            known = sum(map(len, parts))
            assert frames.first_frame_sample == FIRST_SAMPLE + known * FRAME_SAMPLES
            parts.append(frames.scores)

    def received_sample(slot: int, end: int) -> int:
        """Ahead of the scores, at the end of a step, and not beyond the source's end."""
        steps = -(-(place_in_step + end) // FRAMES_PER_STEP)
        ahead = FIRST_SAMPLE + steps * FRAMES_PER_STEP * FRAME_SAMPLES + AHEAD
        return min(ahead, FIRST_SAMPLE + len(sources[slot]) * FRAME_SAMPLES - 17)

    for slot in range(len(sources)):
        decoder.begin(
            slot,
            str(slot),
            first_sample=FIRST_SAMPLE,
            first_received_sample=FIRST_SAMPLE + FRAMES_PER_STEP * FRAME_SAMPLES + AHEAD,
            place_in_step=place_in_step,
            numbers=count(),
        )
    begin, steps, going_on = 0, 0, set(range(len(sources)))
    for more in cycle(steps_at_once):
        if not going_on:
            break
        steps += more
        end = steps * FRAMES_PER_STEP - place_in_step
        by_length: dict[int, list[int]] = {}
        for slot in sorted(going_on):
            by_length.setdefault(min(end, len(sources[slot])), []).append(slot)
        for stop, slots in by_length.items():
            scores = np.stack([sources[slot][begin:stop] for slot in slots])
            note(decoder.push(slots, scores, [received_sample(slot, stop) for slot in slots]))
            for slot in slots:
                if stop == len(sources[slot]):
                    note(decoder.end(slot, Reason.END_OF_STREAM, received_sample(slot, stop)))
                    assert slot not in decoder
                    going_on.remove(slot)
        begin = end
    return [(t, np.concatenate(f)) for t, f in zip(transitions, filtered, strict=True)]


@settings(deadline=None, max_examples=300)
@given(
    data=st.data(),
    rules=st.lists(RULES, min_size=1, max_size=4),
    place_in_step=st.integers(0, FRAMES_PER_STEP - 1),
    steps_at_once=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_neither_steps_nor_sources_together_change_anything(
    data: st.DataObject, rules: list[FrameRules], place_in_step: int, steps_at_once: list[int]
) -> None:
    sources = []
    for _ in range(data.draw(st.integers(1, 3))):
        frames = data.draw(st.integers(1, 150))
        columns = [data.draw(scores(frames=frames)) for _ in rules]
        sources.append(np.array(columns, np.float32).T)
    together = decoded(sources, rules, place_in_step=place_in_step, steps_at_once=steps_at_once)
    for source, (transitions, filtered) in zip(sources, together, strict=True):
        ((alone, known),) = decoded([source], rules, place_in_step=place_in_step, steps_at_once=[1])
        assert [replace(t, source="0") for t in transitions] == alone
        np.testing.assert_array_equal(filtered, known)
        for column, rule in enumerate(rules):
            values = source[:, column].tolist()
            assert known[:, column].tolist() == median_filter(values, rule.median)
            end_sample = FIRST_SAMPLE + len(source) * FRAME_SAMPLES - 17
            assert [
                (t.onset_sample, t.offset_sample, t.reason)
                for t in alone
                if t.label == f"class {column}" and t.kind is Kind.OFFSET
            ] == [
                (
                    FIRST_SAMPLE + event.first * FRAME_SAMPLES,
                    min(FIRST_SAMPLE + event.end * FRAME_SAMPLES, end_sample),
                    event.reason,
                )
                for event in find_events(values, rule, Reason.END_OF_STREAM)
            ]
