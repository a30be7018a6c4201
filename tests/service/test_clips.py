"""Clips of a daemon that receives real audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from streamsed.clips.writer import to_int16
from streamsed.config import Config, DetectConfig
from streamsed.detect.events import Kind, Reason
from streamsed.errors import ConfigError
from streamsed.publish.daemon_status import ClipsState
from streamsed.publish.messages import EventMessage
from streamsed.service.pipeline import Pipeline
from tests.bundles import SAMPLE_RATE, tones
from tests.service.daemons import configure, events, recording, running, states
from tests.service.holding import standard_input

ROOT = Path(__file__).parents[2]
PRE_S, POST_S = 1.0, 0.5


def clips_of(
    folder: Path, bundle: Path, sounds: Sequence[dict[str, Any]], **clips: Any
) -> list[EventMessage]:
    settings = {"enabled": True, "path": str(folder), "pre_s": PRE_S, "post_s": POST_S}
    config = configure(bundle, sounds, clips=settings | clips)
    with running(config) as run:
        return [e for e in events(run.until_stopped()) if e.kind is Kind.OFFSET]


def assert_exact(event: EventMessage, audio: NDArray[np.int16]) -> None:
    """Compare an event's clip with the 16-bit audio that its source delivered."""
    assert event.clip is not None
    assert event.offset is not None
    first = max(0, event.onset.sample - round(PRE_S * SAMPLE_RATE))
    end = event.offset.sample + round(POST_S * SAMPLE_RATE)
    sounds, rate = soundfile.read(event.clip, dtype="int16")
    assert rate == SAMPLE_RATE
    np.testing.assert_array_equal(sounds, audio[first:end])


def test_clips_of_real_audio_are_exact(tmp_path: Path) -> None:
    decoded, rate = soundfile.read(ROOT / "examples" / "kitchen.ogg", dtype="int16")
    kitchen = soxr.resample(decoded, rate, SAMPLE_RATE)
    soundfile.write(tmp_path / "kitchen.wav", kitchen, SAMPLE_RATE, subtype="PCM_16")
    entry = {"type": "file", "name": "kitchen", "path": f"{tmp_path}/kitchen.wav", "paced": False}
    ended = clips_of(tmp_path / "clips", ROOT / "models" / "domestic", [entry])
    assert len(ended) > 10
    assert any(  # events overlap, and each has its own
        a.onset.sample < b.onset.sample < a.offset.sample for a in ended for b in ended if a.offset
    )
    for event in ended:
        assert_exact(event, kitchen)
    names = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert names == sorted(Path(event.clip or "").name for event in ended)
    by_time = sorted(ended, key=lambda event: event.onset.utc)
    assert [name[:20] for name in names] == [
        f"{event.onset.utc:%Y%m%dT%H%M%S}.{event.onset.utc.microsecond // 1000:03d}Z"
        for event in by_time
    ]


def test_a_clip_ends_with_its_source_and_keeps_to_its_limit(bundle: Path, tmp_path: Path) -> None:
    audio = tones([("low", 0.5, 1.0), ("mid", 2.0, 9.0), ("high", 9.3, 10.0)], duration_s=10.0)
    entry = recording(tmp_path / "a.wav", audio)
    sounds = soundfile.read(entry["path"], dtype="int16")[0]
    ended = clips_of(tmp_path / "clips", bundle, [entry], max_clip_s=3.0)
    low, mid, high = sorted(ended, key=lambda event: event.onset.sample)
    assert_exact(low, sounds)
    assert_exact(high, sounds)
    assert mid.clip is not None
    first = mid.onset.sample - SAMPLE_RATE
    np.testing.assert_array_equal(
        soundfile.read(mid.clip, dtype="int16")[0], sounds[first : first + 3 * SAMPLE_RATE]
    )


@pytest.fixture
def piped(bundle: Path, tmp_path: Path) -> Config:
    entry = {"type": "pipe", "name": "pipe", "rate": SAMPLE_RATE, "format": "f32le"}
    clips = {"enabled": True, "path": str(tmp_path / "clips"), "pre_s": PRE_S, "post_s": POST_S}
    return configure(bundle, [entry], clips=clips)


PIPED = tones([("low", 0.3, 0.8), ("mid", 0.5, 2.6)], duration_s=3.5)
HALF = len(PIPED) // 2


def test_a_clip_goes_on_over_a_reload(piped: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    detect = DetectConfig.model_validate({"classes": {"high": {"median_s": 0.5, "min_off_s": 1.0}}})
    with standard_input(monkeypatch) as put, running(piped) as run:
        put(PIPED[:HALF])
        messages = run.until(("label", "low"), ("kind", Kind.OFFSET))
        messages += run.reload(piped.model_copy(update={"detect": detect}))
        put(PIPED[HALF:])
        put(None)
        messages += run.until_stopped()
    ended = [event for event in events(messages) if event.kind is Kind.OFFSET]
    assert [(event.label, event.reason) for event in ended] == [
        ("low", Reason.SILENCE),
        ("mid", Reason.SILENCE),
    ]
    for event in ended:
        assert_exact(event, to_int16(PIPED))


def test_a_clip_ends_with_the_daemon(piped: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch) as put, running(piped) as run:
        put(PIPED[:HALF])
        run.until(("label", "low"), ("kind", Kind.OFFSET))
        run.daemon.stop("it is enough")
        (event,) = [e for e in events(run.until_stopped()) if e.label == "mid"]
    assert event.reason is Reason.SHUTDOWN
    assert_exact(event, to_int16(PIPED[: event.offset.sample if event.offset else 0]))


def test_no_audio_is_written_unless_asked_for(bundle: Path, tmp_path: Path) -> None:
    entry = recording(tmp_path / "a.wav", tones([("low", 0.5, 1.0)], duration_s=2.0))
    (event,) = clips_of(tmp_path / "clips", bundle, [entry], enabled=False)
    assert event.clip is None
    assert not (tmp_path / "clips").exists()


def test_only_chosen_sources_and_classes_are_recorded(bundle: Path, tmp_path: Path) -> None:
    audio = tones([("low", 0.5, 1.0), ("high", 0.5, 1.0)], duration_s=2.0)
    sounds = [recording(tmp_path / f"{name}.wav", audio) for name in "ab"]
    ended = clips_of(tmp_path / "clips", bundle, sounds, classes=["low"], sources=["b"])
    assert {(e.source, e.label) for e in ended if e.clip} == {("b", "low")}
    assert len(ended) == 4


def test_a_disk_that_cannot_be_written_costs_no_event(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "clips"
    path.write_bytes(b"a file where the folder should be")
    audio = tones([("low", at, at + 0.3) for at in range(1, 20)], duration_s=21.0)
    sources = [recording(tmp_path / "a.wav", audio)]
    config = configure(bundle, sources, clips={"enabled": True, "path": str(path)})
    with running(config) as run:
        messages = run.until_stopped()
        clips = run.daemon.status().clips
    assert len(events(messages)) == 2 * 19
    assert (clips.state, clips.message) == (ClipsState.FAILING, f"[Errno 17] File exists: '{path}'")
    assert states(messages, "a")[-1] == "ended"


def test_a_class_that_the_bundle_lacks_is_named(bundle: Path, tmp_path: Path) -> None:
    sources = [recording(tmp_path / "a.wav", tones([], duration_s=0.1))]
    with pytest.raises(ConfigError, match=r"clips\.classes: 'hihg' .*'high'"):
        Pipeline.of(configure(bundle, sources, clips={"classes": ["hihg"]}))
