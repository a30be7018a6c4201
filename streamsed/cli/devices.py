"""``streamsed devices``: which microphones there are."""

from __future__ import annotations

from streamsed.cli.columns import echo_columns
from streamsed.cli.output import echo


def devices() -> int:
    """List audio inputs: what may stand after mic: or under device."""
    from streamsed.sources.devices import list_devices

    found = list_devices()
    if not found:
        echo("streamsed: the sound system has no input device", err=True)
        return 1
    echo_columns(
        ("index", "id", "name", "host", "channels", "rate", "default"),
        (
            (
                str(device.index),
                device.id,
                device.name,
                device.host_api,
                str(device.channels),
                str(device.default_rate),
                "yes" if device.is_default else "",
            )
            for device in found
        ),
    )
    return 0
