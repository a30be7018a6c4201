"""A real microphone path: PulseAudio null sink, ALSA's ``pulse`` device, PortAudio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from time import monotonic

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.devices import list_devices
from streamsed.sources.microphone import Microphone
from streamsed.sources.mono import Channel
from tests.pulse import PulseServer
from tests.sources.reading import RATE, one_line

PLAYED_RATE = 48_000


@contextmanager
def opened(microphone: Microphone, rate: int = RATE) -> Iterator[Microphone]:
    microphone.open(rate)
    try:
        yield microphone
    finally:
        microphone.close()


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Path, NDArray[np.float32]]:
    """A recording in which every moment differs (left: a chirp, right: half of it negated)."""
    t = np.arange(PLAYED_RATE) / PLAYED_RATE
    chirp = 0.5 * np.sin(2 * np.pi * (100 * t + 300 * t**2)).astype(np.float32)
    path = tmp_path / "sweep.wav"
    soundfile.write(path, np.stack([chirp, -chirp / 2], axis=1), PLAYED_RATE)
    return path, chirp


def record_while(
    microphone: Microphone, pulse: PulseServer, path: Path
) -> tuple[NDArray[np.float32], float, float]:
    """Play a recording; return what was recorded, and UTC before and after the playing."""
    captured: list[NDArray[np.float32]] = []
    index = 0
    before = datetime.now(UTC).timestamp()
    player = pulse.play(path)
    ended = None
    deadline = monotonic() + 30
    while ended is None or datetime.now(UTC).timestamp() < ended + 0.3:
        assert monotonic() < deadline, "the playing does not end"
        block = microphone.read(5.0)
        assert block is not None, "no audio"
        assert block.first_sample == index, "the index is not continuous"
        index = block.end_sample
        captured.append(block.samples)
        if ended is None and player.poll() is not None:
            assert player.returncode == 0
            ended = datetime.now(UTC).timestamp()
    return np.concatenate(captured), before, ended


def refuse(**_: object) -> None:
    """Stand for a device that cannot be opened with these settings."""
    import sounddevice  # only where PortAudio is installed

    raise sounddevice.PortAudioError("Invalid sample rate", -9997)


@pytest.mark.parametrize(
    ("rate", "channel", "gain", "any_rate"),
    [(16_000, "left", 1.0, True), (22_050, "mix", 0.25, True), (16_000, "right", -0.5, False)],
)
def test_what_is_played_is_heard_at_the_right_time(
    pulse: PulseServer,
    sweep: tuple[Path, NDArray[np.float32]],
    monkeypatch: pytest.MonkeyPatch,
    rate: int,
    channel: Channel,
    gain: float,
    any_rate: bool,
) -> None:
    if not any_rate:  # unlike the sound server, a card refuses what it cannot do
        monkeypatch.setattr("sounddevice.check_input_settings", refuse)
    path, chirp = sweep
    source = Microphone("mic", device="pulse", channel=channel)
    opening = datetime.now(UTC).timestamp()
    with opened(source, rate) as microphone:
        assert opening - 1.0 < microphone.started_at.timestamp() < datetime.now(UTC).timestamp()
        captured, before, after = record_while(microphone, pulse, path)
        started = microphone.started_at.timestamp()
        assert microphone.lost_samples == 0
        assert microphone.status_flags == {"input_overflow": 0, "input_underflow": 0}

    expected = soxr.resample(chirp, PLAYED_RATE, rate)
    correlation = np.correlate(captured, np.sign(gain) * expected, mode="valid")
    begin = int(np.argmax(correlation))
    found = captured[begin : begin + len(expected)]
    assert np.sign(gain) * np.corrcoef(found, expected)[0, 1] > 0.97
    assert np.dot(found, expected) / np.dot(expected, expected) == pytest.approx(gain, rel=0.05)
    assert before - 0.1 < started + begin / rate < after - 1.0 + 0.2


def test_the_devices_are_listed(pulse: PulseServer) -> None:
    devices = {device.name: device for device in list_devices()}
    assert devices["pulse"].id == "alsa:pulse"
    assert devices["pulse"].host_api == "ALSA"
    assert devices["pulse"].channels >= 2
    assert sum(device.is_default for device in devices.values()) == 1


def test_an_unknown_device_is_one_clear_line(pulse: PulseServer) -> None:
    with pytest.raises(SourceError) as error:
        Microphone("mic", device="yeti").open(RATE)
    assert one_line(error.value, "mic: ", "no input device 'yeti'", "'pulse'")


def test_a_channel_that_the_device_lacks(pulse: PulseServer) -> None:
    with pytest.raises(SourceError) as error:
        Microphone("mic", device="pulse", channel=999).open(RATE)
    assert one_line(error.value, "mic: ", "'pulse'", "channel 999")


def test_a_sound_server_that_dies_and_comes_back(pulse: PulseServer) -> None:
    source = Microphone("mic", device="pulse")
    with opened(source) as microphone:
        assert microphone.read(10.0) is not None
        pulse.kill()
        deadline = monotonic() + 60
        with pytest.raises(SourceLost) as error:  # noqa: PT012  # what was recorded before comes first
            while monotonic() < deadline:
                microphone.read(1.0)
        assert one_line(error.value, "mic: ", "'pulse'", "stopped delivering audio")
    with pytest.raises(SourceError):
        source.open(RATE)
    pulse.start()
    with opened(source) as microphone:
        block = microphone.read(10.0)
        assert block is not None
        assert block.first_sample == 0


def test_two_microphones_and_closing_from_another_thread(pulse: PulseServer) -> None:
    with (
        opened(Microphone("a", device="pulse")) as one,
        opened(Microphone("b", device=None), 48_000) as other,
    ):
        assert one.read(10.0) is not None
        assert other.read(10.0) is not None
        ends: list[object] = []

        def read_on() -> None:
            while (block := one.read(200.0)) is not None:
                assert block.samples.ndim == 1
            ends.append(block)

        reader = Thread(target=read_on)
        reader.start()
        one.close()
        one.close()
        reader.join(20.0)
        assert not reader.is_alive()
        assert ends == [None]
        for _ in range(5):
            assert other.read(10.0) is not None, "closing one microphone ended the other"
