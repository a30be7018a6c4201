"""Reverberation: clips as they sound in a room whose impulse response is given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from train.augment.chance import check_probability, coins


@dataclass(frozen=True)
class ReverberationConfig:
    """How often clips are put into a room.

    Attributes:
        probability: share of clips that are changed.
        rooms: how many simulated rooms clips may be put into.
    """

    probability: float = 0.3
    rooms: int = 60

    def __post_init__(self) -> None:
        check_probability(self.probability)
        if self.rooms < 1:
            raise ValueError(f"rooms {self.rooms}; must be 1 or more")


@torch.no_grad()
def put_in_rooms(
    audio: Tensor,
    responses: Tensor,
    config: ReverberationConfig,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Put some clips into rooms drawn for each.

    Args:
        audio: ``(B, N)``.
        responses: ``(R, L)``, impulse responses at the clips' sample rate.
        config: how often.
        generator: on the CPU.

    Returns:
        ``(B, N)``; labels stay as they are.
    """
    room = torch.randint(0, len(responses), (len(audio),), generator=generator)
    chosen = coins(len(audio), config.probability, generator=generator)
    rows = chosen.nonzero()[:, 0].to(audio.device)
    changed = audio.clone()
    if len(rows):
        picked = responses[room[chosen].to(responses.device)].to(audio)
        changed[rows] = reverberate(audio[rows], picked)
    return changed


def reverberate(audio: Tensor, response: Tensor) -> Tensor:
    """Convolve clips with impulse responses.

    The direct sound, the response's highest peak, keeps its time and its level: onsets stay where
    the labels have it, and the room comes on top.

    Args:
        audio: ``(B, N)``.
        response: ``(L,)`` or ``(B, L)``.

    Returns:
        ``(B, N)``; what rings beyond the clip's end is cut off.

    Raises:
        ValueError: a response is all zero.
    """
    response = response.expand(len(audio), -1)
    peak = response.abs().argmax(dim=1)
    direct = response.gather(1, peak[:, None])
    if not direct.all():
        raise ValueError("an impulse response is all zero")
    length, taps = audio.shape[1], response.shape[1]
    size = 1 << (length + taps - 1).bit_length()
    spectrum = torch.fft.rfft(audio, size) * torch.fft.rfft(response / direct, size)
    wet: Tensor = torch.fft.irfft(spectrum, size)
    place = peak[:, None] + torch.arange(length, device=audio.device)
    return wet.gather(1, place)
