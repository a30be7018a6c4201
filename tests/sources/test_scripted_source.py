"""The scripted source: blocks, losses, refusals and openings in the order of its script."""

from __future__ import annotations

import numpy as np
import pytest

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.protocol import EndOfSource, Source
from streamsed.testing.scripted_source import Broken, Missing, Nothing, Refused, ScriptedSource

RATE = 16_000
TONE = np.ones(100, np.float32)


def test_it_delivers_its_script() -> None:
    source = ScriptedSource("door", [TONE, Missing(50), TONE, Nothing(), Broken("gone"), TONE])
    assert isinstance(source, Source)
    source.open(RATE)
    assert [source.read(0.0), source.read(0.0)].count(None) == 0
    assert source.lost_samples == 50
    assert source.read(0.0) is None
    with pytest.raises(SourceLost, match="door: gone"):
        source.read(0.0)
    source.close()
    source.open(RATE)
    block = source.read(0.0)
    assert block is not None
    assert (block.first_sample, source.lost_samples) == (0, 0)
    for _ in range(2):
        with pytest.raises(EndOfSource):
            source.read(0.0)
    assert (source.opened, source.closed) == (2, 1)


def test_positions_count_what_is_missing() -> None:
    source = ScriptedSource("door", [TONE, Missing(50), Missing(7), TONE])
    source.open(RATE)
    blocks = [source.read(0.0) for _ in range(2)]
    assert [block.first_sample for block in blocks if block is not None] == [0, 157]


def test_it_can_refuse_to_open() -> None:
    source = ScriptedSource("door", [Refused("no such device"), TONE])
    with pytest.raises(SourceError, match="door: no such device"):
        source.open(RATE)
    source.open(RATE)
    assert source.read(0.0) is not None
