"""Digital silence."""

from __future__ import annotations

import numpy as np
import pytest

from streamsed.service.silence import DigitalSilence
from streamsed.sources.block import Block

RATE = 1000
ZEROS = Block(np.zeros(400, np.float32), 0)
QUIET = Block(np.r_[np.zeros(399), 1e-9].astype(np.float32), 0)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([ZEROS] * 4, [False, False, True, True]),
        ([ZEROS, ZEROS, QUIET, ZEROS, ZEROS, ZEROS], [False] * 5 + [True]),
        ([QUIET] * 4, [False] * 4),
    ],
)
def test_only_a_long_run_of_nothing_but_zeros_counts(
    blocks: list[Block], expected: list[bool]
) -> None:
    silence = DigitalSilence(1.2, RATE)
    assert [silence.update(block) for block in blocks] == expected


def test_without_a_limit_nothing_is_silence() -> None:
    silence = DigitalSilence(None, RATE)
    assert not any(silence.update(ZEROS) for _ in range(1000))
