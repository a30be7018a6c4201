"""streamsed: streaming sound event detection.

::

    from streamsed import Event, Stream, detect_file

    for event in detect_file("talk.flac"):
        print(event.label, event.onset_s, event.offset_s)

The daemon's messages are received with :mod:`streamsed.client`.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamsed.stream import Event, Onset, Stream, detect_file

    __version__: str

__all__ = ["Event", "Onset", "Stream", "__version__", "detect_file"]

# onnxruntime's packages report their use to their maker, and keep an identifier of the machine in
# the user's cache, unless this is set before they are first imported. This package does
# neither; ORT_DISABLE_TELEMETRY=0 in the environment is a choice that is respected.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import only the requested name: clients have no numpy and no onnxruntime."""
    if name == "__version__":
        value: Any = _version()
    elif name in __all__:
        value = getattr(import_module("streamsed.stream"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    for distribution in ("streamsed", "streamsed-client"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "0+unknown"  # run from a folder that was never installed
