"""The detector as a whole: what it says of audio, whatever way the audio comes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import bundle
from streamsed.bundle import ClassPostprocessing
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Kind, Reason
from streamsed.detect.median import median_filter
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import find_events
from streamsed.errors import ConfigError
from streamsed.sources.block import Block
from tests.bundles import SAMPLE_RATE, ToneMember, make_bundle, tones
from tests.detect.conftest import POSTPROCESSING
from tests.detect.run import Array, Collected, assert_paired, cut, detect, note, step_all

FRAME, CHUNK = 256, 1024
HOUR_40 = 40 * 3600 * SAMPLE_RATE  # beyond int32
# Longer than a second so that every class has several events; 24,321 samples are no whole frames.
EVENTS = [
    ("low", 0.10, 0.55),
    ("high", 0.25, 0.30),
    ("mid", 0.40, 1.10),
    ("low", 0.62, 0.90),
    ("high", 1.20, 1.60),
]
AUDIO = tones(EVENTS, duration_s=24_321 / SAMPLE_RATE)


def _whole(engine: Engine, audio: Array = AUDIO, first_sample: int = 0) -> Collected:
    return detect(Detector(engine), [Block(audio, first_sample)])


def test_tones_become_events(tone_engine: Engine) -> None:
    received = _whole(tone_engine)
    found = sorted(
        (label, onset / SAMPLE_RATE, offset / SAMPLE_RATE)
        for label, onset, offset, _ in received.events
    )
    expected = sorted((c, on, min(off, len(AUDIO) / SAMPLE_RATE)) for c, on, off in EVENTS)
    assert [label for label, *_ in found] == [label for label, *_ in expected]
    times = [time for _, *times in found for time in times]
    assert times == pytest.approx([t for _, *times in expected for t in times], abs=0.025)
    assert received.ended == 1
    assert_paired(received.transitions)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=30), st.booleans())
def test_nothing_depends_on_the_cut(looking_ahead: Engine, places: list[int], eager: bool) -> None:
    detector = Detector(looking_ahead, update_every_s=0.1)
    whole = detect(detector, [Block(AUDIO, 77)])
    assert {t.kind for t in whole.transitions} == set(Kind)
    pieces = detect(detector, cut(AUDIO, places, first_sample=77), eager=eager)
    assert pieces.same_as(whole)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=30), st.integers(2, 40), st.integers(0, 9))
def test_making_steps_together_changes_nothing(
    looking_ahead: Engine, places: list[int], steps: int, gaps: int
) -> None:
    blocks = cut(AUDIO, places, first_sample=77)
    # Gaps: the detector forgets, and goes on with what follows.
    blocks = [
        replace(b, first_sample=b.first_sample + 3000 * min(i, gaps)) for i, b in enumerate(blocks)
    ]
    by_step = detect(Detector(looking_ahead, update_every_s=0.1), blocks)
    together = Detector(looking_ahead, update_every_s=0.1, steps_at_once=steps)
    received = detect(together, blocks, eager=False)
    assert received.transitions == by_step.transitions
    assert received.ended == by_step.ended
    np.testing.assert_array_equal(
        *(np.concatenate([f for _, f in h.frames]) for h in (received, by_step))
    )


@pytest.mark.parametrize("steps_at_once", [1, 3, 50])
@pytest.mark.parametrize("warm_up", [0, 5])
def test_filtered_scores_are_what_meets_the_thresholds(
    tmp_path: Path, steps_at_once: int, warm_up: int
) -> None:
    folder = make_bundle(
        tmp_path, latency_frames=2, warmup_frames=warm_up, postprocessing=POSTPROCESSING
    )
    engine = Engine(bundle.load(folder), provider="cpu")
    detector = Detector(engine, steps_at_once=steps_at_once, keep_filtered=True)
    gap = len(AUDIO) + 5 * CHUNK
    detector.add("kitchen")
    detector.push("kitchen", Block(AUDIO, 0))
    detector.push("kitchen", Block(AUDIO[:7777], gap))
    detector.end("kitchen", Reason.END_OF_STREAM)
    fused: dict[int, list[list[float]]] = {0: [], gap: []}
    filtered: dict[int, list[list[float]]] = {0: [], gap: []}
    while (result := detector.step()) is not None:
        for scored in result.frames:
            fused[gap if scored.first_frame_sample >= gap else 0] += scored.scores.tolist()
        for frames in result.filtered:
            first = gap if frames.first_frame_sample >= gap else 0
            known = warm_up + len(filtered[first])
            assert frames.first_frame_sample == first + known * FRAME, "in order, without a hole"
            filtered[first] += frames.scores.tolist()
    rules = [FrameRules.of(p, frame_s=engine.manifest.frame_s) for p in _postprocessing(engine)]
    for first, rows in fused.items():
        assert len(rows) == len(filtered[first]) > 10
        for column, rule in enumerate(rules):
            scores = [row[column] for row in rows]
            assert [row[column] for row in filtered[first]] == median_filter(scores, rule.median)


def test_filtered_scores_are_not_kept_unasked(looking_ahead: Engine) -> None:
    detector = Detector(looking_ahead)
    detector.add("kitchen")
    detector.push("kitchen", Block(AUDIO, 0))
    detector.end("kitchen", Reason.END_OF_STREAM)
    while (result := detector.step()) is not None:
        assert result.filtered == ()


def _postprocessing(engine: Engine) -> list[ClassPostprocessing]:
    return [engine.manifest.postprocessing[label] for label in engine.manifest.classes]


@pytest.mark.parametrize("size", [1, 7, 160, CHUNK - 1, CHUNK, CHUNK + 1, 5000])
def test_nothing_depends_on_the_block_size(looking_ahead: Engine, size: int) -> None:
    audio = AUDIO[:9000]
    blocks = cut(audio, range(size, len(audio), size))
    detector = Detector(looking_ahead)
    assert detect(detector, blocks).same_as(_whole(looking_ahead, audio))


@pytest.mark.parametrize("first", [2**31 - 700, HOUR_40, 2**33 + 1, 2**53 + 1])
def test_late_clocks_work_like_early_ones(looking_ahead: Engine, first: int) -> None:
    early = _whole(looking_ahead)
    assert early.transitions
    assert _whole(looking_ahead, first_sample=first).same_as(early.shifted(first, "kitchen"))


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_sources_do_not_depend_on_each_other(looking_ahead: Engine, data: st.DataObject) -> None:
    """Each of several sources, pushed and stepped in any order, equals itself alone."""
    count = data.draw(st.integers(2, 6))
    lengths = [data.draw(st.integers(0, len(AUDIO))) for _ in range(count)]
    firsts = [data.draw(st.sampled_from([0, 5, HOUR_40])) for _ in range(count)]
    audio = [AUDIO[len(AUDIO) - length :] for length in lengths]
    alone = [
        detect(Detector(looking_ahead), [Block(a, f)], source=f"s{i}")
        for i, (a, f) in enumerate(zip(audio, firsts, strict=True))
    ]
    detector = Detector(looking_ahead)
    received = {f"s{i}": Collected() for i in range(count)}
    pushed = [0] * count
    for source in received:
        detector.add(source)
    while detector.sources:
        i = data.draw(st.integers(0, count - 1))
        source, size = f"s{i}", data.draw(st.sampled_from([300, 1024, 5000]))
        if source in detector.sources:
            if pushed[i] < lengths[i]:
                block = Block(audio[i][pushed[i] : pushed[i] + size], firsts[i] + pushed[i])
                detector.push(source, block)
                pushed[i] += size
            else:
                detector.end(source, Reason.END_OF_STREAM)
        if data.draw(st.booleans()) and (result := detector.step()) is not None:
            for transition in result.transitions:
                received[transition.source].transitions.append(transition)
            for frames in result.frames:
                received[frames.source].frames.append((frames.first_frame_sample, frames.scores))
            for name in result.ended:
                received[name].ended += 1
        elif not any(n < length for n, length in zip(pushed, lengths, strict=True)):
            for name in detector.sources:
                detector.end(name, Reason.END_OF_STREAM)
            step_all(detector, received)
    for i, mine in enumerate(alone):
        assert received[f"s{i}"].same_as(mine)


def test_scores_and_events_agree_with_the_reference(looking_ahead: Engine) -> None:
    manifest = looking_ahead.manifest
    received = _whole(looking_ahead)
    first = [begin for begin, _ in received.frames]
    scores = np.concatenate([frames for _, frames in received.frames])
    assert first[0] == 0
    assert len(scores) == -(-len(AUDIO) // FRAME)
    expected = []
    for column, label in enumerate(manifest.classes):
        rules = FrameRules.of(manifest.postprocessing[label], frame_s=manifest.frame_s)
        expected += [
            (label, e.first * FRAME, min(e.end * FRAME, len(AUDIO)), e.reason)
            for e in find_events(scores[:, column].tolist(), rules, Reason.END_OF_STREAM)
        ]
    assert len(expected) > 5
    assert sorted(received.events) == sorted(expected)


def test_messages_come_within_the_stated_latency(looking_ahead: Engine) -> None:
    detector = Detector(looking_ahead)
    received = detect(detector, cut(AUDIO, range(100, len(AUDIO), 100)))
    onsets = [t for t in received.transitions if t.kind is Kind.ONSET]
    assert {t.label for t in onsets} == {"low", "mid", "high"}
    for onset in onsets:
        latency = detector.latency(onset.label)
        assert (onset.decided_sample - onset.onset_sample) / SAMPLE_RATE <= latency.total_s
    assert detector.latency("low").look_ahead_s == pytest.approx(6 * 0.016)
    assert detector.latency("low").median_s == pytest.approx(2 * 0.016)
    assert detector.latency("low").min_on_s == pytest.approx(4 * 0.016)
    assert detector.latency("low").chunk_s == pytest.approx(0.064)


# Gaps


def test_a_short_gap_is_silence(looking_ahead: Engine) -> None:
    begin, end = 4000, 4000 + CHUNK
    detector = Detector(looking_ahead)
    gappy = detect(detector, [Block(AUDIO[:begin], 0), Block(AUDIO[end:], end)])
    filled = AUDIO.copy()
    filled[begin:end] = 0.0
    assert gappy.same_as(_whole(looking_ahead, filled))


def test_a_long_gap_ends_events_and_begins_anew(looking_ahead: Engine) -> None:
    end = 7000  # within the first events of low and mid, and within a chunk and a frame
    begin = end + CHUNK + 1
    blocks = [Block(AUDIO[:end], 0), Block(AUDIO[begin:], begin)]
    received = detect(Detector(looking_ahead), blocks)
    assert_paired(received.transitions)
    before = detect(Detector(looking_ahead), blocks[:1], reason=Reason.GAP)
    after = detect(Detector(looking_ahead), blocks[1:])
    assert ("low", Reason.GAP) in [(label, reason) for label, _, _, reason in received.events]
    assert max(offset for *_, offset, reason in received.events if reason is Reason.GAP) == end
    assert received.events == before.events + after.events
    assert [t.number for t in received.transitions if t.kind is Kind.ONSET] == list(
        range(len(received.events))
    )
    joined = Collected([], before.frames + after.frames, 1)
    assert Collected([], received.frames, 1).same_as(joined)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=8),
    st.lists(st.integers(0, 20000), max_size=10),
)
def test_gaps_do_not_depend_on_the_cut(
    looking_ahead: Engine, pieces: list[tuple[int, int]], places: list[int]
) -> None:
    """Pieces of audio with gaps of any length between them, cut further at ``places``."""
    whole, further, sample = [], [], 0
    for length, gap in pieces:
        block = Block(AUDIO[sample : sample + length], sample)
        whole.append(block)
        inside = [p - sample for p in places if sample < p < sample + len(block.samples)]
        further += cut(block.samples, inside, first_sample=sample)
        sample += length + gap
    received = detect(Detector(looking_ahead), whole)
    assert_paired(received.transitions)
    assert detect(Detector(looking_ahead), further).same_as(received)
    assert detect(Detector(looking_ahead), further, eager=False).same_as(received)


def test_blocks_that_reach_back_change_nothing(looking_ahead: Engine) -> None:
    noise = np.ones(3000, np.float32)
    blocks = [
        Block(AUDIO[:5000], 0),
        Block(noise, 1500),
        Block(np.concatenate([noise[:1000], AUDIO[5000:]]), 4000),
    ]
    assert detect(Detector(looking_ahead), blocks).same_as(_whole(looking_ahead))


# The end of a stream


@pytest.mark.parametrize("samples", [1, FRAME - 1, FRAME, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
def test_no_event_outlives_the_end(looking_ahead: Engine, samples: int) -> None:
    audio = tones([("high", 0.0, 1.0)], duration_s=samples / SAMPLE_RATE)
    received = _whole(looking_ahead, audio, 1000)
    assert_paired(received.transitions)
    assert sum(len(scores) for _, scores in received.frames) == -(-samples // FRAME)
    assert all(t.decided_sample <= 1000 + samples for t in received.transitions)
    if samples > FRAME:  # the detector has received enough of the tone
        assert [(offset, reason) for *_, offset, reason in received.events] == [
            (1000 + samples, Reason.END_OF_STREAM)
        ]


def test_an_event_in_the_last_partial_chunk_is_found(looking_ahead: Engine) -> None:
    samples = 10 * CHUNK + 700
    begin_s = (10 * CHUNK + 100) / SAMPLE_RATE
    audio = tones([("high", begin_s, 9.0)], duration_s=samples / SAMPLE_RATE)
    ((label, onset, offset, reason),) = _whole(looking_ahead, audio).events
    assert (label, offset, reason) == ("high", samples, Reason.END_OF_STREAM)
    assert 10 * CHUNK <= onset < 10 * CHUNK + 2 * FRAME


def test_the_reason_is_the_one_given(tone_engine: Engine) -> None:
    for reason in (Reason.SOURCE_LOST, Reason.SHUTDOWN, Reason.RELOAD):
        audio = tones([("low", 0.0, 1.0)], duration_s=0.5)
        received = detect(Detector(tone_engine), [Block(audio, 0)], reason=reason)
        assert [why for *_, why in received.events] == [reason]


def test_a_source_without_audio_ends(tone_engine: Engine) -> None:
    detector = Detector(tone_engine)
    assert detect(detector, []) == Collected([], [], 1)
    assert detect(detector, [Block(AUDIO[:0], 5)]) == Collected([], [], 1)
    assert detector.sources == ()
    assert detector.step() is None


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["push", "skip", "overlap", "end", "step"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 4000),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(OPERATIONS)
def test_one_offset_for_each_onset_whatever_happens(
    looking_ahead: Engine, operations: Sequence[tuple[str, str, int]]
) -> None:
    detector = Detector(looking_ahead, update_every_s=0.05)
    runs: dict[str, list[Collected]] = {"a": [], "b": [], "c": []}
    clock = dict.fromkeys(runs, 0)
    ending: set[str] = set()

    def step() -> bool:
        result = detector.step()
        if result is None:
            return False
        for transition in result.transitions:
            runs[transition.source][-1].transitions.append(transition)
        for source in result.ended:
            runs[source][-1].ended += 1
            ending.discard(source)
        return True

    for operation, source, size in operations:
        if source not in detector.sources:
            detector.add(source)
            runs[source].append(Collected())
        if operation == "end":
            detector.end(source, Reason.SOURCE_LOST)
            ending.add(source)
        elif operation == "skip":
            clock[source] += size
        elif operation == "overlap":
            clock[source] -= size // 4
        elif operation == "push" and source not in ending:
            begin = clock[source] % len(AUDIO)
            detector.push(source, Block(AUDIO[begin : begin + size], clock[source]))
            clock[source] += size
        elif operation == "step":
            step()
    for source in detector.sources:
        detector.end(source, Reason.SHUTDOWN)
    while step():
        pass
    assert detector.sources == ()
    for received in (received for run in runs.values() for received in run):
        assert received.ended == 1
        assert_paired(received.transitions)


# Bad samples, warm-up, members, configuration


def test_a_bad_sample_does_not_stay(looking_ahead: Engine) -> None:
    audio, silenced = AUDIO.copy(), AUDIO.copy()
    audio[[3000, 3001, 9000]] = [np.nan, 1e30, -np.inf]
    silenced[[3000, 3001, 9000]] = 0.0
    detector = Detector(looking_ahead)
    detector.add("kitchen")
    detector.push("kitchen", Block(audio, 0))
    assert detector.bad_samples("kitchen") == 3
    detector.end("kitchen", Reason.END_OF_STREAM)
    received = {"kitchen": Collected()}
    step_all(detector, received)
    assert received["kitchen"].same_as(_whole(looking_ahead, silenced))


def test_scores_that_are_no_numbers_reset_their_stream(tmp_path: Path) -> None:
    # So sharp that loud tones overflow: infinity over infinity.
    member = ToneMember(sharpness=8.0)
    engine = Engine(bundle.load(make_bundle(tmp_path, members=(member,))), provider="cpu")
    detector = Detector(engine)
    loud = tones([("mid", 0.2, 0.3)], duration_s=1.0, amplitude=20.0)
    quiet = tones([("mid", 0.5, 0.8)], duration_s=1.0)
    received = {"loud": Collected(), "quiet": Collected()}
    for source, audio in (("loud", loud + quiet), ("quiet", quiet)):
        detector.add(source)
        detector.push(source, Block(audio, 0))
    bad = []
    while (result := detector.step()) is not None:
        bad += result.bad
        note(result, received)
    assert bad == ["loud"] * detector.bad_steps("loud")
    assert detector.bad_steps("loud") > 0
    assert detector.bad_steps("quiet") == 0
    for source in received:
        detector.end(source, Reason.END_OF_STREAM)
    step_all(detector, received)
    (event,) = received["quiet"].events
    assert event in received["loud"].events
    assert all(np.isfinite(scores).all() for _, scores in received["loud"].frames)


def test_warm_up_frames_are_not_decoded(tmp_path: Path, tone_engine: Engine) -> None:
    path = make_bundle(tmp_path, warmup_frames=6)
    engine = Engine(bundle.load(path), provider="cpu")
    audio = tones([("low", 0.0, 0.5)], duration_s=1.0)
    cold, warm = _whole(tone_engine, audio), _whole(engine, audio)
    assert cold.events[0][1] == 0
    assert warm.events[0][1] == 6 * FRAME
    assert warm.frames[0][0] == 6 * FRAME
    np.testing.assert_array_equal(
        np.concatenate([scores for _, scores in warm.frames]),
        np.concatenate([scores for _, scores in cold.frames])[6:],
    )
    assert _whole(engine, audio[: 6 * FRAME]) == Collected([], [], 1)


def test_members_of_different_look_ahead_are_fused_frame_by_frame(tmp_path: Path) -> None:
    late = ToneMember(name="late", latency_frames=7, sharpness=1.0, weight=2.0)
    soon = ToneMember(name="soon", latency_frames=1, sharpness=3.0)

    def scores(name: str, *members: ToneMember, **options: object) -> Array:
        engine = Engine(bundle.load(make_bundle(tmp_path / name, members=members)))
        detector = Detector(engine, **options)  # type: ignore[arg-type]
        return np.concatenate([s for _, s in detect(detector, [Block(AUDIO, 0)]).frames])

    fused = scores("both", late, soon)
    alone = scores("late", late), scores("soon", soon)
    assert len(fused) == -(-len(AUDIO) // FRAME)
    np.testing.assert_allclose(fused, (2 * alone[0] + alone[1]) / 3, atol=1e-6)
    weighted = scores("weighted", late, soon, fusion_weights={"soon": 6.0})
    np.testing.assert_allclose(weighted, (2 * alone[0] + 6 * alone[1]) / 8, atol=1e-6)


def test_a_tag_gate_silences_its_class(tmp_path: Path) -> None:
    # Tags are the largest score of a step: a gate above what a faint tone reaches.
    faint = tones([("low", 0.2, 0.6), ("mid", 0.2, 0.6)], duration_s=1.0, amplitude=0.06)
    engine = Engine(bundle.load(make_bundle(tmp_path, tags=True)), provider="cpu")
    gated = ClassPostprocessing(tag_threshold=0.9)
    free = detect(Detector(engine), [Block(faint, 0)])
    received = detect(Detector(engine, {"mid": gated}), [Block(faint, 0)])
    assert {label for label, *_ in free.events} == {"low", "mid"}
    assert received.events == [event for event in free.events if event[0] == "low"]
    loud = tones([("mid", 0.2, 0.6)], duration_s=1.0)
    assert len(detect(Detector(engine, {"mid": gated}), [Block(loud, 0)]).events) == 1


def test_the_configuration_goes_before_the_manifest(tone_engine: Engine) -> None:
    limited = ClassPostprocessing(max_on_s=0.1)
    detector = Detector(tone_engine, {"mid": limited})
    events = detect(detector, [Block(AUDIO, 0)]).events
    assert [why for label, *_, why in events if label == "mid"].count(Reason.MAX_DURATION) == 7
    assert Reason.MAX_DURATION not in [why for label, *_, why in events if label != "mid"]


def test_wrong_settings_are_refused(tone_engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"'drum'.* low, mid, high"):
        Detector(tone_engine, {"drum": ClassPostprocessing()})
    with pytest.raises(ConfigError, match="unknown member 'drum'"):
        Detector(tone_engine, fusion_weights={"drum": 1.0})
    with pytest.raises(ConfigError, match="update_every_s is -1"):
        Detector(tone_engine, update_every_s=-1.0)


def test_pending_samples_are_counted(tone_engine: Engine) -> None:
    detector = Detector(tone_engine)
    detector.add("kitchen")
    detector.push("kitchen", Block(AUDIO[:5000], 0))
    assert detector.pending_samples("kitchen") == 5000
    detector.step()
    assert detector.pending_samples("kitchen") == 5000 - CHUNK
    detector.end("kitchen", Reason.SHUTDOWN)
    detector.end("kitchen", Reason.SOURCE_LOST)  # changes nothing
    with pytest.raises(ValueError, match=r"'kitchen' has ended \(shutdown\)"):
        detector.push("kitchen", Block(AUDIO[5000:], 5000))
    with pytest.raises(ValueError, match="'kitchen' is there already"):
        detector.add("kitchen")
    step_all(detector, {"kitchen": Collected()})
    with pytest.raises(KeyError):
        detector.pending_samples("kitchen")
