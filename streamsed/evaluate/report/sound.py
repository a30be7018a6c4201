"""Sounds within the page: what a picture shows, to be played beside it."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BLOCK = 65536  # samples; libsndfile's encoder of Vorbis overflows its stack with more


def read_part(path: Path, *, begin_s: float, end_s: float) -> tuple[NDArray[np.float32], int]:
    """Return ``[begin_s, end_s)`` of a file, all channels mixed, and its sample rate.

    Only that part is read. It is shorter where the file ends before.

    Raises:
        soundfile.LibsndfileError: the file cannot be read.
        OSError: it cannot be opened.
    """
    with sf.SoundFile(path) as file:
        rate = int(file.samplerate)
        begin, end = round(begin_s * rate), round(end_s * rate)
        file.seek(min(begin, file.frames))
        return file.read(end - begin, dtype="float32", always_2d=True).mean(axis=1), rate


def sound_url(samples: NDArray[np.float32], rate: int) -> str:
    """Return mono samples as a ``data:`` URL that browsers play; empty for no samples.

    MP3, which all of them play, or Ogg Vorbis at sample rates that MP3 does not have.
    """
    if not len(samples):
        return ""
    mp3 = rate in _MP3_RATES_HZ and "MP3" in sf.available_formats()
    buffer = BytesIO()
    form = {"format": "MP3"} if mp3 else {"format": "OGG", "subtype": "VORBIS"}
    with sf.SoundFile(buffer, "w", samplerate=rate, channels=1, **form) as file:
        for start in range(0, len(samples), _BLOCK):
            file.write(np.clip(samples[start : start + _BLOCK], -1.0, 1.0))
    kind = "audio/mpeg" if mp3 else "audio/ogg"
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
