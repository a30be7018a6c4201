"""Room responses: aligned, normalised, repeatable, kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.train.tiny_bank import write_bank
from train.data.bank import Bank
from train.data.rooms import LEAD_S, Room, bank_rooms, simulate_rooms

RATE = 16_000


def check_aligned(response: np.ndarray) -> None:
    """The direct path stands at the first millisecond: nothing loud comes before it."""
    direct = int(LEAD_S * RATE)
    peak = np.abs(response).max()
    assert np.abs(response[: direct - 4]).max() < 0.5 * peak
    assert np.abs(response[direct - 1 : direct + 5]).max() > 0.5 * peak
    assert np.isfinite(response).all()
    assert response.dtype == np.float32
    np.testing.assert_allclose(np.square(response).sum(), 1.0, rtol=1e-4)


def made(seed: int, cache: Path | None = None) -> tuple[Room, ...]:
    return simulate_rooms(count=6, places=2, seed=seed, sample_rate=RATE, cache=cache)


def test_simulated_rooms_are_aligned_and_differ() -> None:
    rooms = made(1)
    assert len(rooms) == 6
    lengths = set()
    for room in rooms:
        assert len(room.responses) == 2
        for response in room.responses:
            check_aligned(response)
            lengths.add(len(response))
    assert len(lengths) > 4  # reverberation differs


def test_a_seed_decides_the_rooms_and_the_cache_returns_them(tmp_path: Path) -> None:
    fresh, stored, again = made(2), made(2, tmp_path), made(2, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for a, b, c in zip(fresh, stored, again, strict=True):
        for x, y, z in zip(a.responses, b.responses, c.responses, strict=True):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(x, z)
    assert not np.array_equal(made(3)[0].responses[0], fresh[0].responses[0])


def test_recorded_responses_lose_their_delay(tmp_path: Path) -> None:
    (room,) = bank_rooms(Bank.open(write_bank(tmp_path)), split="train", sample_rate=RATE)
    (response,) = room.responses
    check_aligned(response)
    assert np.abs(response[16]) > np.abs(response[16 + 400]) > 0.3
