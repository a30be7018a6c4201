"""Room impulse responses: simulated shoeboxes, and recorded ones of the bank."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.bank import Bank, Split

Response = NDArray[np.float32]

_RESPONSE_S = 0.6  # later reverberation is below what scenes keep
LEAD_S = 0.001  # kept before the direct path: its band-limited pulse has a left half


@dataclass(frozen=True, slots=True)
class Room:
    """Impulse responses of one room, from several places to one microphone.

    Attributes:
        responses: each ``(n,)`` float32, the direct path at the first millisecond, unit energy.
    """

    responses: tuple[Response, ...]


def simulate_rooms(
    *, count: int, places: int, seed: int, sample_rate: int, cache: Path | None = None
) -> tuple[Room, ...]:
    """Shoebox rooms of homes: 1.5 x 1.2 m to 9 x 7 m, reverberation 0.12 to 1.1 s.

    Early reflections come from the image-source method; the diffuse tail is exponentially
    decaying noise from the mixing time on, with the room's own reverberation time.

    Args:
        count: rooms.
        places: sources in each.
        seed: the same seed gives the same rooms.
        sample_rate: in Hz.
        cache: folder in which they are kept for the next call; None keeps nothing.
    """
    path = cache and cache / f"rooms-1-{seed}-{count}x{places}-{sample_rate}.npz"
    if path and path.is_file():
        with np.load(path) as stored:
            responses = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
            return tuple(
                Room(tuple(responses[first : first + places]))
                for first in range(0, count * places, places)
            )
    rooms = tuple(
        _shoebox(np.random.default_rng([seed, index]), places, sample_rate)
        for index in range(count)
    )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.npz")
        responses = [response for room in rooms for response in room.responses]
        lengths = [len(response) for response in responses]
        np.savez(unfinished, samples=np.concatenate(responses), lengths=lengths)
        unfinished.replace(path)
    return rooms


def bank_rooms(bank: Bank, *, split: Split, sample_rate: int) -> tuple[Room, ...]:
    """The recorded impulse responses of a split, each as a room with one place."""
    return tuple(
        Room((_aligned(bank.samples(clip), sample_rate),))
        for clip in bank.select("rir", split=split)
    )


def _shoebox(rng: np.random.Generator, places: int, sample_rate: int) -> Room:
    import pyroomacoustics  # noqa: PLC0415 - slow to import, and not needed with a cache

    size = np.array([rng.uniform(1.5, 9.0), rng.uniform(1.2, 7.0), rng.uniform(2.2, 3.2)])
    absorption = rng.uniform(0.12, 0.65)
    scattering_free = pyroomacoustics.Material(energy_absorption=float(absorption))
    room = pyroomacoustics.ShoeBox(
        size, fs=sample_rate, materials=scattering_free, max_order=8, air_absorption=True
    )
    margin = 0.15
    microphone = margin + (size - 2 * margin) * rng.random(3)
    room.add_microphone(microphone)
    for _ in range(places):
        room.add_source(margin + (size - 2 * margin) * rng.random(3))
    room.compute_rir()
    volume = float(size.prod())
    surface = 2.0 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    reverberation_s = float(
        np.clip(0.161 * volume / (-surface * np.log(1.0 - absorption)), 0.08, 1.2)
    )
    return Room(
        tuple(
            _aligned(
                _with_tail(rng, np.asarray(response, np.float64), reverberation_s, sample_rate),
                sample_rate,
            )
            for response in room.rir[0]
        )
    )


def _with_tail(
    rng: np.random.Generator, early: NDArray[np.float64], reverberation_s: float, sample_rate: int
) -> Response:
    """Let noise of the early part's decay take over where the image sources thin out."""
    n = int(sample_rate * min(reverberation_s * 1.1, _RESPONSE_S) + 0.05 * sample_rate)
    response = np.zeros(n)
    response[: min(n, len(early))] = early[:n]
    time_s = np.arange(n) / sample_rate
    join = min(int(0.03 * sample_rate) + int(np.argmax(np.abs(early))), n - 1)
    window = response[max(join - 200, 0) : join + 200]
    level = float(np.sqrt(np.mean(np.square(window))))
    noise = np.convolve(rng.standard_normal(n + 2), [0.25, 0.5, 0.25], mode="valid") * 1.6
    decay = np.exp(-6.9 * (time_s - time_s[join]) / reverberation_s)
    ease = np.clip((np.arange(n) - join) / (0.02 * sample_rate), 0.0, 1.0)
    joined: Response = (response * (1.0 - ease) + noise * level * decay * ease).astype(np.float32)
    return joined


def _aligned(response: Response, sample_rate: int) -> Response:
    """Put the direct path at the first millisecond, cut the far tail, give it unit energy."""
    magnitude = np.abs(response)
    direct = int(np.argmax(magnitude > 0.5 * magnitude.max()))
    lead = int(LEAD_S * sample_rate)
    cut = response[max(direct - lead, 0) :][: int(_RESPONSE_S * sample_rate)].copy()
    tail = min(len(cut), int(0.02 * sample_rate))
    cut[len(cut) - tail :] *= np.linspace(1.0, 0.0, tail, dtype=np.float32)
    unit: Response = cut / np.float32(np.sqrt(np.square(cut).sum()) + 1e-12)
    return unit
