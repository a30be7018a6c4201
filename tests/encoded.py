"""The example recording in any form that ffmpeg writes, made once a test session."""

from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from streamsed.sources.ffmpeg import find_ffmpeg

EXAMPLE = Path(__file__).parent.parent / "examples" / "kitchen.ogg"
SECONDS = 6.0

_folder = TemporaryDirectory(prefix="encoded-")


@cache
def encoded(name: str, *options: str, piped: str | None = None, seconds: float = SECONDS) -> Path:
    """Return a file called ``name`` that holds the beginning of the example, encoded so.

    Args:
        name: of the file; its ending chooses the container.
        options: of ffmpeg, for its output.
        piped: container to write to a pipe, so that no size can be written at the end.
        seconds: how much of the example.
    """
    folder = Path(_folder.name) / str(abs(hash((name, options, piped, seconds))))
    folder.mkdir()
    path = folder / name
    source = ("-v", "error", "-y", "-t", str(seconds), "-i", str(EXAMPLE))
    output = (str(path),) if piped is None else ("-f", piped, "-")
    # A system's own may lack encoders.
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run((ffmpeg, *source, *options, *output), check=True, capture_output=True)
    if piped is not None:
        path.write_bytes(done.stdout)
    return path


def decoded_by_ffmpeg(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return what ffmpeg makes of a file's first audio track, ``(n, channels)``, and its rate."""
    arguments = ("-v", "error", "-i", f"file:{path}", "-map", "0:a:0", "-map_metadata", "-1")
    done = subprocess.run(
        (str(find_ffmpeg()), *arguments, "-bitexact", "-c:a", "pcm_f32le", "-f", "wav", "-"),
        check=True,
        capture_output=True,
    )
    channels, rate = struct.unpack_from("<HI", done.stdout, 22)
    start = done.stdout.index(b"data") + 8
    return np.frombuffer(done.stdout, "<f4", offset=start).reshape(-1, channels), rate
