"""Which input device is meant, and what it is called for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamsed.errors import SourceError
from streamsed.sources.devices import Device, find_device, stable_id
from tests.sources.reading import one_line


def device(index: int, name: str, device_id: str = "", *, default: bool = False) -> Device:
    return Device(index, name, device_id or f"alsa:{name}", "ALSA", 2, 48_000, default)


DEVICES = (
    device(0, "HDA Intel PCH: ALC257 (hw:0,0)", "alsa:PCH,0"),
    device(2, "USB Audio: - (hw:1,0)", "usb-0000:00:14.0-2,0"),
    device(5, "USB Audio: - (hw:2,0)", "usb-0000:00:14.0-1.4,0", default=True),
    device(6, "pulse"),
    device(7, "pulse monitor"),
)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (None, 5),
        (2, 2),
        ("usb-0000:00:14.0-1.4,0", 5),
        ("alsa:PCH,0", 0),
        ("alc257", 0),
        ("hw:1,0", 2),
        ("pulse", 6),  # a whole name comes before a part of one
        ("MONITOR", 7),
    ],
)
def test_a_device_is_found(wanted: str | int | None, index: int) -> None:
    assert find_device(DEVICES, wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ("yeti", ("no input device 'yeti'", "0 'HDA Intel PCH", "6 'pulse'")),
        (1, ("no input device 1", "0 'HDA Intel PCH")),
        ("usb audio", ("ambiguous", "2 'USB Audio: - (hw:1,0)', 5 'USB")),
    ],
)
def test_a_device_that_is_not_there_or_not_clear(wanted: str | int, parts: tuple[str, ...]) -> None:
    with pytest.raises(SourceError) as error:
        find_device(DEVICES, wanted)
    assert one_line(error.value, *parts)


def test_no_device_at_all() -> None:
    with pytest.raises(SourceError, match="no input device"):
        find_device((), None)
    with pytest.raises(SourceError, match="no default input"):
        find_device(DEVICES[:2], None)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A kernel's view of a PCI sound card and two equal USB microphones, one behind a hub."""
    sound = tmp_path / "class" / "sound"
    sound.mkdir(parents=True)
    pci = tmp_path / "devices" / "pci0000:00"
    places = {
        "card0": (pci / "0000:00:1f.3", "PCH"),
        "card1": (pci / "0000:00:14.0" / "usb1" / "1-2" / "1-2:1.0", "Device"),
        "card2": (pci / "0000:00:14.0" / "usb1" / "1-1" / "1-1.4" / "1-1.4:1.0", "Device_1"),
    }
    for card, (place, card_id) in places.items():
        folder = place / "sound" / card
        folder.mkdir(parents=True)
        (folder / "id").write_text(card_id + "\n", encoding="utf-8")
        (folder / "device").symlink_to(place)
        (sound / card).symlink_to(folder)
    return sound


@pytest.mark.parametrize(
    ("name", "api", "expected"),
    [
        ("HDA Intel PCH: ALC257 (hw:0,0)", "ALSA", "alsa:PCH,0"),
        ("USB Audio: - (hw:1,0)", "ALSA", "usb-0000:00:14.0-2,0"),
        ("USB Audio: - (hw:2,1)", "ALSA", "usb-0000:00:14.0-1.4,1"),
        ("Gone (hw:9,0)", "ALSA", "alsa:9,0"),
        ("pulse", "ALSA", "alsa:pulse"),
        ("MacBook Microphone", "Core Audio", "core-audio:MacBook Microphone"),
    ],
)
def test_stable_ids(sysfs: Path, name: str, api: str, expected: str) -> None:
    assert stable_id(name, api, sysfs=sysfs) == expected


_WITHOUT_PORTAUDIO = """\
from pathlib import Path
from streamsed.errors import SourceError
from streamsed.sources.config import build_source, parse_source
from streamsed.sources.devices import list_devices
build_source(parse_source("a.wav")), build_source(parse_source("-"))
for action in (list_devices, lambda: build_source(parse_source("mic")).open(16000)):
    try:
        action()
    except SourceError as error:
        print(error)
"""


def test_portaudio_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text(
        "raise OSError('PortAudio library not found')", encoding="utf-8"
    )
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PORTAUDIO],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert all("apt install libportaudio2" in line for line in lines)
