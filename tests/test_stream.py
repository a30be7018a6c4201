"""Detection as a library: what replay and the daemon give, however samples are cut."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import streamsed
from streamsed import Event, Onset, Stream, detect_file
from streamsed.bundle import Bundle, ClassPostprocessing, load
from streamsed.detect.events import Reason
from streamsed.errors import BundleError, ConfigError, SourceError
from tests.bundles import SAMPLE_RATE, make_bundle, tones

AUDIO = tones([("low", 0.5, 1.0), ("high", 0.8, 1.5), ("mid", 1.7, 2.2)], duration_s=2.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load(make_bundle(tmp_path_factory.mktemp("library") / "tones", latency_frames=4))


@pytest.fixture(scope="module")
def stream(bundle: Bundle) -> Stream:
    return Stream(bundle)


@pytest.fixture(scope="module")
def whole(bundle: Bundle) -> list[Onset | Event]:
    return list(Stream(bundle).detect([AUDIO]))


def test_onsets_come_before_their_events_and_events_are_true(
    whole: list[Onset | Event],
) -> None:
    onsets = {change.number: change for change in whole if isinstance(change, Onset)}
    events = {change.number: change for change in whole if isinstance(change, Event)}
    assert sorted(onsets) == sorted(events) == [0, 1, 2]
    assert [e.label for e in events.values()] == ["low", "high", "mid"]
    for event in events.values():
        assert whole.index(onsets[event.number]) < whole.index(event)
        assert onsets[event.number].onset_s == event.onset_s
    for event, (onset, offset) in zip(
        events.values(), [(0.5, 1.0), (0.8, 1.5), (1.7, 2.0)], strict=True
    ):
        assert event.onset_s == pytest.approx(onset, abs=0.05)
        assert event.offset_s == pytest.approx(offset, abs=0.05)
        assert event.duration_s == event.offset_s - event.onset_s
    assert events[2].reason is Reason.END_OF_STREAM


@given(cuts=st.lists(st.integers(0, len(AUDIO)), max_size=8))
@settings(max_examples=30)
def test_the_cut_into_blocks_changes_nothing(
    stream: Stream, whole: list[Onset | Event], cuts: list[int]
) -> None:
    blocks = np.split(AUDIO, sorted(cuts))
    assert list(stream.detect(blocks)) == whole, "nor what came before in the same stream"


def test_async_is_the_same(stream: Stream, whole: list[Onset | Event]) -> None:
    async def blocks() -> AsyncIterator[NDArray[np.float32]]:
        for block in np.array_split(AUDIO, 7):
            await asyncio.sleep(0)
            yield block

    async def collect() -> list[Onset | Event]:
        return [change async for change in stream.detect_async(blocks())]

    assert asyncio.run(collect()) == whole


def test_pushed_samples_are_the_callers_to_overwrite(
    stream: Stream, whole: list[Onset | Event]
) -> None:
    buffer = np.empty(1000, np.float32)
    changes: list[Onset | Event] = []
    for first in range(0, len(AUDIO), len(buffer)):
        buffer[:] = AUDIO[first : first + len(buffer)]
        changes += stream.push(buffer)
        buffer[:] = 0.5
    assert stream.position_s == len(AUDIO) / SAMPLE_RATE
    assert [*changes, *stream.end()] == whole
    assert stream.position_s == 0.0


def labels(changes: list[Onset | Event]) -> list[tuple[str, float]]:
    return [(e.label, round(e.onset_s, 1)) for e in changes if isinstance(e, Event)]


@pytest.mark.parametrize(
    "samples",
    [
        AUDIO.astype(np.float64),
        np.round(AUDIO * 2.0**15).astype(np.int16),
        np.round(AUDIO.astype(np.float64) * 2.0**31).astype(np.int32),
        np.stack([AUDIO, AUDIO], axis=1),
        np.stack([2 * AUDIO, 0 * AUDIO], axis=1),
        AUDIO.tolist(),
    ],
)
def test_samples_of_any_kind(stream: Stream, whole: list[Onset | Event], samples: object) -> None:
    assert labels(list(stream.detect([samples]))) == labels(whole)  # type: ignore[list-item]


@pytest.mark.parametrize(
    "samples",
    [AUDIO.astype(np.uint8), AUDIO.astype(np.complex64), AUDIO.reshape(1, -1, 1), 0.5, ["a"]],
)
def test_what_is_no_audio_is_refused(stream: Stream, samples: object) -> None:
    with pytest.raises(ValueError, match=r"samples are .* wanted"):
        stream.push(samples)  # type: ignore[arg-type]
    assert stream.push([]) == []


def test_another_rate_gives_the_same_events(bundle: Bundle, tmp_path: Path) -> None:
    doubled = np.repeat(AUDIO, 3)
    events = [e for e in Stream(bundle, rate=48_000).detect([doubled]) if isinstance(e, Event)]
    path = tmp_path / "a.wav"
    soundfile.write(path, doubled, 48_000, subtype="FLOAT")
    assert detect_file(path, bundle) == sorted(events, key=lambda e: e.onset_s)
    with pytest.raises(ValueError, match="rate is 0 Hz"):
        Stream(bundle, rate=0)


def test_lost_samples_end_what_is_open(stream: Stream) -> None:
    tone = tones([("low", 0.0, 1.0)], duration_s=1.0)
    changes = stream.push(tone)
    changes += stream.push(tone, lost_samples=SAMPLE_RATE)
    changes += stream.end()
    ended = [(e.reason, round(e.offset_s, 2)) for e in changes if isinstance(e, Event)]
    assert ended == [(Reason.GAP, 1.0), (Reason.END_OF_STREAM, 3.0)]
    with pytest.raises(ValueError, match="lost_samples is -1"):
        stream.push(tone, lost_samples=-1)


def test_thresholds_can_be_set(bundle: Bundle) -> None:
    never = {"low": ClassPostprocessing(min_on_s=10.0)}
    assert "low" not in dict(labels(list(Stream(bundle, postprocessing=never).detect([AUDIO]))))
    with pytest.raises(ConfigError, match="lowe"):
        Stream(bundle, postprocessing={"lowe": ClassPostprocessing()})


def test_a_file_or_a_bundle_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="no such file"):
        detect_file("nowhere.wav")
    with pytest.raises(BundleError, match="no such bundle"):
        detect_file("nowhere.wav", "nothing")


ALONE = """
import os, socket, sys, threading
def refuse(event, arguments):
    if event in ("socket.__new__", "subprocess.Popen", "os.fork"):
        raise RuntimeError(event)
sys.addaudithook(refuse)
from streamsed import detect_file
events = detect_file(sys.argv[1])
assert events
tasks = len(os.listdir("/proc/self/task"))
print(threading.active_count(), sorted(m for m in ("zmq", "streamsed.config") if m in sys.modules))
"""


def test_there_is_no_thread_no_socket_and_no_configuration() -> None:
    example = Path(__file__).parent.parent / "examples" / "kitchen.ogg"
    done = subprocess.run(
        [sys.executable, "-c", ALONE, example], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 []\n", "")


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys, streamsed; print([m for m in sys.modules if m.startswith(('numpy', 'zmq'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert streamsed.__version__
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = streamsed.nothing_of_the_kind
