"""Input devices: what there is, and which one is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from streamsed.errors import SourceError
from streamsed.sources.portaudio import portaudio

_SYSFS = Path("/sys/class/sound")
_ALSA_HARDWARE = re.compile(r"\(hw:(?P<card>\d+),(?P<device>\d+)\)$")
_USB_INTERFACE = re.compile(r"(?P<controller>[^/]+)/usb\d+/(?:.*/)?\d+-(?P<ports>[\d.]+):[\d.]+$")


@dataclass(frozen=True, slots=True)
class Device:
    """An input of the sound system.

    Attributes:
        index: PortAudio's number; changes when devices come and go.
        name: PortAudio's name; contains the card number on ALSA, which may change at a reboot.
        id: survives reboots. On Linux a USB device is known by its socket
            (``usb-<controller>-<ports>,<device>``, like udev's by-path), another card by its ALSA
            id (``alsa:<card id>,<device>``); everything else by host API and name
            (``alsa:pulse``, ``core-audio:...``). Two equal USB microphones are distinguished by
            their sockets; one that is plugged elsewhere has another id.
        host_api: ALSA, Core Audio, Windows WASAPI ...
        channels: most input channels it has.
        default_rate: Hz.
        is_default: whether a microphone source without ``device`` uses it.
    """

    index: int
    name: str
    id: str
    host_api: str
    channels: int
    default_rate: int
    is_default: bool


def list_devices() -> tuple[Device, ...]:
    """Return every input device, newly plugged ones included (unless a microphone is open).

    Raises:
        SourceError: PortAudio is not installed.
    """
    with portaudio(refresh=True) as sd:
        return input_devices(sd)


def input_devices(sd: ModuleType) -> tuple[Device, ...]:
    """Return the input devices of PortAudio's present list."""
    apis = [api["name"] for api in sd.query_hostapis()]
    default = sd.default.device[0]
    return tuple(
        Device(
            index=info["index"],
            name=info["name"],
            id=stable_id(info["name"], apis[info["hostapi"]]),
            host_api=apis[info["hostapi"]],
            channels=info["max_input_channels"],
            default_rate=round(info["default_samplerate"]),
            is_default=info["index"] == default,
        )
        for info in sd.query_devices()
        if info["max_input_channels"] > 0
    )


def stable_id(name: str, host_api: str, *, sysfs: Path = _SYSFS) -> str:
    """Return the id of a device; see :class:`Device`. ``sysfs`` lists the kernel's sound cards."""
    hardware = _ALSA_HARDWARE.search(name)
    if host_api == "ALSA" and hardware:
        card = sysfs / f"card{hardware['card']}"
        if usb := _USB_INTERFACE.search(str((card / "device").resolve())):
            return f"usb-{usb['controller']}-{usb['ports']},{hardware['device']}"
        try:
            card_id = (card / "id").read_text(encoding="utf-8").strip()
        except OSError:  # no sysfs (a container): the number is the best there is
            card_id = hardware["card"]
        return f"alsa:{card_id},{hardware['device']}"
    return f"{host_api.lower().replace(' ', '-')}:{name}"


def find_device(devices: tuple[Device, ...], wanted: str | int | None) -> Device:
    """Return the device that is meant: the default, or by index, id, name, or part of the name.

    Args:
        devices: those there are.
        wanted: None for the default; an integer for an index; a string for the id, else the whole
            name, else a part of exactly one name, whatever its case.

    Raises:
        SourceError: none or several match.
    """
    if wanted is None:
        matches = [device for device in devices if device.is_default]
    elif isinstance(wanted, int):
        matches = [device for device in devices if device.index == wanted]
    else:
        matches = (
            [device for device in devices if device.id == wanted]
            or [device for device in devices if device.name == wanted]
            or [device for device in devices if wanted.lower() in device.name.lower()]
        )
    if len(matches) == 1:
        return matches[0]
    if not devices:
        raise SourceError(
            "the sound system has no input device; a microphone plugged in, or a running sound "
            "server, would be right"
        )
    wanted_device = "no default input" if wanted is None else f"no input device {wanted!r}"
    if matches:
        wanted_device = f"input device {wanted!r} is ambiguous"
    listed = ", ".join(f"{device.index} {device.name!r}" for device in matches or devices)
    raise SourceError(f"{wanted_device}; one of these would be right: {listed}")
