"""Which ffmpeg is run: the given one, the system's, or the one of imageio-ffmpeg's wheel."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from streamsed.errors import SourceError


def find_ffmpeg(path: Path | None = None) -> Path:
    """Return the program to run: the given one, else the system's, else imageio-ffmpeg's.

    Args:
        path: of a program, or its name on PATH; ``~`` is the home directory.

    Raises:
        SourceError: there is none.
    """
    if path is not None:
        if found := shutil.which(path.expanduser()):
            return Path(found)
        raise SourceError(
            f"ffmpeg: {path}: no program that can be run; without this key the system's is used"
        )
    # The system's gets its distribution's security updates; a wheel is as old as its release.
    if found := shutil.which("ffmpeg"):
        return Path(found)
    try:
        import imageio_ffmpeg  # noqa: PLC0415  # slow, and only a system without ffmpeg needs it

        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise SourceError(
            f"no ffmpeg on PATH, and imageio-ffmpeg has none for this machine ({sys.platform}); "
            "install ffmpeg, or give the path of one under ffmpeg:"
        ) from error
