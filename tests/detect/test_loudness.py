"""Whether a source is too quiet, or its channels cancel: reported once, on the sample clock."""

from __future__ import annotations

import math

from streamsed.detect.loudness import FIRST_S, LATER_S, Loudness

RATE = 1000


def feed(loudness: Loudness, seconds: float, dbfs: float, mix_loss_db: float | None = None) -> int:
    """Add seconds of one level; return how often the remark changed."""
    energy = RATE * 10 ** (dbfs / 10)
    return sum(
        loudness.add(energy=energy, samples=RATE, mix_loss_db=mix_loss_db)
        for _ in range(round(seconds))
    )


def test_a_quiet_source_is_remarked_on_once_until_it_is_loud() -> None:
    loudness = Loudness(RATE)
    assert feed(loudness, FIRST_S - 1, -70) == 0
    assert feed(loudness, 1, -70) == 1
    assert "very quiet" in str(loudness.remark)
    assert "-70 dBFS" in str(loudness.remark)
    assert "gain_db: 40" in str(loudness.remark)
    assert feed(loudness, 2 * LATER_S, -70) <= 2
    assert feed(loudness, LATER_S, -20) == 1
    assert loudness.remark is None
    loudness.restart()
    assert feed(loudness, FIRST_S, -20) == 0


def test_one_loud_second_is_enough_and_zeros_are_another_matter() -> None:
    loudness = Loudness(RATE)
    assert feed(loudness, FIRST_S / 2, -70) + feed(loudness, 1, -30) == 0
    assert feed(loudness, FIRST_S, -70) == 0
    zeros = Loudness(RATE)
    assert not any(zeros.add(energy=0.0, samples=RATE, mix_loss_db=None) for _ in range(100))


def test_a_recording_is_judged_at_its_end() -> None:
    loudness = Loudness(RATE, first_s=math.inf)
    assert feed(loudness, 3, -70) == 0
    assert not loudness.end(), "too short for a value"
    assert feed(loudness, 7, -70) == 0
    assert loudness.end()
    assert "the loudest of 10 s" in str(loudness.remark)


def test_channels_that_cancel_each_other() -> None:
    loudness = Loudness(RATE)
    assert feed(loudness, 5, -90, mix_loss_db=-9.0) == 0
    assert feed(loudness, 5, -90, mix_loss_db=-40.0) == 1
    assert "channel: left" in str(loudness.remark)
    assert feed(loudness, 5, -20, mix_loss_db=-3.0) == 1
    assert loudness.remark is None
