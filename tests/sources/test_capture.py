"""What happens between the audio callback and the reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.sources.capture import Capture

RATE = 48_000
FRAMES = 480


@dataclass
class Stamps:
    """PortAudio's time stamps, on a clock of its own."""

    currentTime: float  # noqa: N815  # PortAudio's spelling
    inputBufferAdcTime: float  # noqa: N815


class Device:
    """A sound card: records frames, and calls back after each block; its jitter is given."""

    def __init__(self, *, slots: int = 8, drift: float = 0.0) -> None:
        self.now = 5000.0
        self.captured = 0
        self.drift = drift
        self.capture = Capture(
            rate=RATE, channels=2, block_frames=FRAMES, slots=slots, clock=lambda: self.now
        )

    def lose(self, frames: int) -> None:
        """Let the driver drop frames that were recorded."""
        self.captured += frames

    def call(self, *, overflow: bool = False, jitter_s: float = 0.0, stale: bool = False) -> None:
        """Deliver the next block, whose values are the time of recording."""
        first = 5000.0 + self.captured / RATE * (1 + self.drift)
        self.captured += FRAMES
        self.now = 5000.0 + self.captured / RATE * (1 + self.drift) + 0.003
        stamp = 0.0 if stale else 70.0 + first + jitter_s
        frames = np.full((FRAMES, 2), self.captured - FRAMES, np.float32)
        status = SimpleNamespace(input_overflow=overflow, input_underflow=False)
        self.capture.callback(
            frames, FRAMES, Stamps(70.0 + self.now, stamp), status if overflow else None
        )


def test_blocks_follow_each_other() -> None:
    device = Device()
    for count in range(20):
        device.call()
        taken = device.capture.take(0)
        assert taken is not None
        first, frames = taken
        assert first == count * FRAMES
        assert frames.shape == (FRAMES, 2)
        assert (frames == first).all()
    assert device.capture.take(0) is None
    assert device.capture.lost_frames == 0


@given(calls=st.lists(st.booleans(), max_size=100), slots=st.integers(1, 5))
def test_a_reader_that_is_late_loses_frames_but_never_the_clock(
    calls: list[bool], slots: int
) -> None:
    device = Device(slots=slots)
    taken_frames = 0
    for read in [*calls, *[True] * slots]:
        if not read:
            device.call()
        elif (taken := device.capture.take(0)) is not None:
            first, frames = taken
            assert (frames == first).all()
            taken_frames += len(frames)
    assert taken_frames + device.capture.lost_frames == device.captured


@given(
    lost=st.integers(0, 100_000),
    jitters=st.lists(st.floats(-0.002, 0.002), min_size=50, max_size=50),
)
def test_an_overflow_shows_as_the_gap_that_the_stamps_tell(lost: int, jitters: list[float]) -> None:
    device = Device()
    for jitter_s in jitters:
        device.call(jitter_s=jitter_s)
        device.capture.take(0)
    device.lose(lost)
    device.call(overflow=True)
    taken = device.capture.take(0)
    assert taken is not None
    assert taken[0] == 50 * FRAMES + device.capture.lost_frames
    assert device.capture.lost_frames == pytest.approx(lost, abs=0.002 * RATE)
    assert device.capture.flags == {"input_overflow": 1, "input_underflow": 0}
    device.call()
    following = device.capture.take(0)
    assert following is not None
    assert following[0] == taken[0] + FRAMES


def test_frames_lost_without_a_word_are_not_invented() -> None:
    device = Device(slots=20)
    for _ in range(10):
        device.call()
    device.lose(5000)
    device.call()
    assert device.capture.lost_frames == 0


@pytest.mark.parametrize("stale", [False, True])
def test_the_anchor_is_when_the_first_frame_was_heard(stale: bool) -> None:
    device = Device()
    began = datetime.now(UTC).timestamp()
    device.call(stale=stale)
    assert device.capture.begun.is_set()
    age_s = device.now - 5000.0
    captured = device.capture.started_at.timestamp()
    assert began - age_s - 0.004 <= captured <= datetime.now(UTC).timestamp() - age_s + 0.004


def test_the_anchor_follows_a_clock_that_drifts() -> None:
    device = Device(drift=200e-6)
    device.call()
    for _ in range(360_000):  # an hour in blocks of 10 ms
        device.call()
        device.capture.take(0)
    first = 360_000 * FRAMES
    by_index = device.capture._origin + first / RATE
    by_clock = 5000.0 + first / RATE * (1 + device.drift)
    assert by_index == pytest.approx(by_clock, abs=0.01)


def test_waking_ends_a_wait() -> None:
    device = Device()
    device.capture.wake()
    assert device.capture.take(200.0) is None
