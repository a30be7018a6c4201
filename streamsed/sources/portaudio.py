"""PortAudio: loaded when first needed, one thread at a time, and restarted to find new devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from types import ModuleType

from streamsed.errors import SourceError

_lock = RLock()  # PortAudio's functions are not thread-safe
_streams = 0


@contextmanager
def portaudio(*, refresh: bool = False) -> Iterator[ModuleType]:
    """Give exclusive use of the ``sounddevice`` module.

    PortAudio lists the devices once, when it is initialised. With ``refresh`` it is initialised
    anew to find devices that came since; but that would end all streams, so with a stream open
    (:func:`stream_opened`) the old list stays.

    Raises:
        SourceError: PortAudio is not installed.
    """
    with _lock:
        try:
            import sounddevice  # noqa: PLC0415  # files and pipes work without it
        except OSError as error:
            raise SourceError(
                "microphones need PortAudio, which is not installed; "
                "'apt install libportaudio2' would be right on Debian and Ubuntu"
            ) from error
        if refresh and not _streams:
            # Makes PortAudio list devices again; sounddevice has no public name for it.
            sounddevice._terminate()
            sounddevice._initialize()
        yield sounddevice


def stream_opened() -> None:
    """Count a stream that :func:`portaudio` must not end; call it inside that context."""
    global _streams  # noqa: PLW0603  # PortAudio is global to the process
    _streams += 1


def stream_closed() -> None:
    """Take back :func:`stream_opened`."""
    global _streams  # noqa: PLW0603
    _streams -= 1
