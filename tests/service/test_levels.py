"""Levels on the way from a recording to a subscriber."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamsed.publish.messages import Heartbeat, LevelMessage
from tests.bundles import SAMPLE_RATE, tones
from tests.publish.journals import prepare
from tests.service.daemons import configure, recording, running


@pytest.fixture(autouse=True)
def _numbers_from_one(state_of_its_own: Path) -> None:
    prepare(state_of_its_own)


# A tone of 0.3 and noise of 0.001: RMS of -13.5 and -60 dBFS.
AUDIO = tones([("low", 2.1, 5.0)], duration_s=6.0)


def test_levels_are_published_at_their_interval(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "kitchen.wav", AUDIO)
    config = configure(bundle, [source], publish={"levels_every_s": 2.0})
    with running(config) as run:
        messages = run.until_stopped()
    found = [message for message in messages if isinstance(message, LevelMessage)]
    assert [round(message.end.seconds, 1) for message in found] == [2.0, 4.1]
    assert all(message.duration == pytest.approx(2.0, abs=0.1) for message in found)
    before, tone = found
    assert before.rms_dbfs == pytest.approx(-60.0, abs=0.5)
    assert before.top[0].score < 0.01
    assert tone.rms_dbfs == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.5)
    assert tone.peak_dbfs == pytest.approx(20 * np.log10(0.3), abs=0.2)
    assert (tone.top[0].label, tone.top[0].score > 0.9) == ("low", True)
    numbered = [m.seq for m in messages if not isinstance(m, (Heartbeat, LevelMessage))]
    assert numbered == list(range(1, len(numbered) + 1)), "levels take no numbers"


def test_levels_name_no_class_that_is_switched_off(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "kitchen.wav", AUDIO)
    off = {"classes": {"low": {"enabled": False}}}
    config = configure(bundle, [source], publish={"levels_every_s": 2.0}, detect=off)
    with running(config) as run:
        found = [m for m in run.until_stopped() if isinstance(m, LevelMessage)]
    assert found
    assert "low" not in {each.label for message in found for each in message.top}


def test_levels_are_not_published_unasked(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "kitchen.wav", AUDIO)
    with running(configure(bundle, [source])) as run:
        messages = run.until_stopped()
        assert run.daemon.levels.latest("kitchen") is None, "it has ended"
    assert not [message for message in messages if isinstance(message, LevelMessage)]


def test_levels_come_more_often_than_once_a_second_if_wanted(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "kitchen.wav", AUDIO[: 2 * SAMPLE_RATE])
    config = configure(bundle, [source], publish={"levels_every_s": 0.25})
    with running(config) as run:
        messages = run.until_stopped()
    found = [message for message in messages if isinstance(message, LevelMessage)]
    assert len(found) == 8
