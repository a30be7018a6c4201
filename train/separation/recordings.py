"""Recordings, separated into audio files and spectrograms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import signal

from train.models.conv_tasnet import ConvTasNet

Signal = NDArray[np.float32]

BLOCK_S = 10.0
_LOWEST_DB = -90.0


@torch.no_grad()
def separate_recording(separator: ConvTasNet, audio: Signal) -> Signal:
    """Return the sources ``(M, N)`` of a recording ``(N,)``.

    A separator that streams is given it in blocks, so that its length costs no memory; another
    is given it whole, as its normalisation wants it.

    Args:
        separator: in evaluation mode.
        audio: at the separator's sample rate.
    """
    config = separator.config
    mixture = torch.from_numpy(audio)[None]
    if not config.streams:
        found: Signal = separator(mixture)[0].numpy()
        return found
    delay, stride = config.delay_samples, config.stride_samples
    after = delay + -(len(audio) + delay) % stride
    padded = torch.nn.functional.pad(mixture, (0, max(after, delay)))
    block = round(BLOCK_S * config.sample_rate) // stride * stride
    state, parts = separator.initial_state(1), []
    for chunk in torch.split(padded, block, dim=1):
        short = max(delay - chunk.shape[1], 0)  # a last block may be less than the delay
        padded = torch.nn.functional.pad(chunk, (0, short))
        sources, state = separator.stream(padded, state)
        parts.append(sources[0])
    streamed: Signal = torch.cat(parts, dim=1)[:, delay : delay + len(audio)].numpy()
    return streamed


def write_sources(
    folder: Path, audio: Signal, sources: Signal, *, sample_rate: int, title: str
) -> None:
    """Write ``mixture.wav``, ``source0.wav`` and so on, and ``spectrograms.png``.

    Args:
        folder: made if it is not there.
        audio: ``(N,)``.
        sources: ``(M, N)``.
        sample_rate: Hz.
        title: of the picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {"mixture": audio, **{f"source{i}": source for i, source in enumerate(sources)}}
    for name, samples in named.items():
        # Not 16 bits: a faint source can be made louder without noise, a loud one is not clipped.
        soundfile.write(folder / f"{name}.wav", samples, sample_rate, subtype="FLOAT")
    draw_spectrograms(named, folder / "spectrograms.png", sample_rate=sample_rate, title=title)


def draw_spectrograms(
    named: dict[str, Signal], path: Path, *, sample_rate: int, title: str
) -> None:
    """Draw spectrograms one above the other, all on the mixture's scale, as a PNG."""
    figure = Figure(figsize=(10, 1.9 * len(named)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(title)
    spectra = {name: _spectrogram_db(samples, sample_rate) for name, samples in named.items()}
    highest = max(float(spectrum.max()) for _, _, spectrum in spectra.values())
    for panel, (name, (times, frequencies, spectrum)) in zip(axes, spectra.items(), strict=True):
        panel.pcolormesh(
            times, frequencies / 1000, spectrum, vmin=highest + _LOWEST_DB, vmax=highest
        )
        label = f"{name}, {level_dbfs(named[name]):.0f} dBFS"
        panel.set_title(label, loc="left", fontsize="small")
        panel.set_ylabel("kHz")
    axes[-1].set_xlabel("s")
    figure.savefig(path, dpi=100, format="png")


def level_dbfs(samples: Signal) -> float:
    """Return the level of a signal in dB re full scale, not below -120."""
    power = float(np.square(samples, dtype=np.float64).mean())
    return 10.0 * math.log10(power + 1e-12)


def _spectrogram_db(
    samples: Signal, sample_rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    window = min(512, len(samples))
    frequencies, times, power = signal.spectrogram(
        samples, sample_rate, nperseg=window, noverlap=window // 2, scaling="spectrum"
    )
    return times, frequencies, 10.0 * np.log10(power + 1e-12)
