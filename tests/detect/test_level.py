"""Levels, against the obvious way to compute them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Reason, ScoredFrames
from streamsed.detect.level import LevelReport
from streamsed.sources.block import Block
from tests.bundles import SAMPLE_RATE, tones

CHUNK = 1024
LOUD = tones([("low", 0.3, 0.8), ("high", 1.2, 1.4)], duration_s=2.0)
LOUD[20_000:20_100] = 1.0
LOUD[20_100:20_150] = -1.0


def measure(
    engine: Engine, blocks: Sequence[Block], *, every_s: float, others: int = 0
) -> tuple[list[LevelReport], list[ScoredFrames]]:
    detector = Detector(engine, level_every_s=every_s)
    names = ["kitchen", *(f"other{i}" for i in range(others))]
    for name in names:
        detector.add(name)
        for block in blocks if name == "kitchen" else [Block(0.5 * LOUD, 0)]:
            detector.push(name, block)
        detector.end(name, Reason.END_OF_STREAM)
    reports, frames = [], []
    while (result := detector.step()) is not None:
        reports += [report for report in result.levels if report.source == "kitchen"]
        frames += [scored for scored in result.frames if scored.source == "kitchen"]
    return reports, frames


def assert_same(one: LevelReport, other: LevelReport) -> None:
    assert (one.end_sample, one.samples, one.clipped_samples) == (
        other.end_sample,
        other.samples,
        other.clipped_samples,
    )
    assert one.peak == other.peak
    assert one.energy == pytest.approx(other.energy, rel=1e-5)
    np.testing.assert_array_equal(one.scores, other.scores)


def reference(
    audio: NDArray[np.float32], frames: Sequence[ScoredFrames], chunks: int
) -> list[LevelReport]:
    """Cut the padded audio in runs of ``chunks`` chunks and look at each sample."""
    padded = np.pad(audio, (0, -len(audio) % CHUNK))
    found = []
    for number, first in enumerate(range(0, len(padded) - chunks * CHUNK + 1, chunks * CHUNK)):
        run = padded[first : first + chunks * CHUNK].astype(np.float64)
        scores = np.concatenate([f.scores for f in frames[number * chunks : (number + 1) * chunks]])
        found.append(
            LevelReport(
                source="kitchen",
                end_sample=min(first + len(run), len(audio)),
                samples=len(run),
                energy=sum(x * x for x in run),
                peak=max(abs(x) for x in run),
                clipped_samples=sum(abs(x) >= 32767 / 32768 for x in run),
                scores=scores.max(axis=0),
            )
        )
    return found


@pytest.mark.parametrize("chunks", [1, 4])
def test_reports_are_what_the_samples_say(tone_engine: Engine, chunks: int) -> None:
    every_s = chunks * CHUNK / SAMPLE_RATE
    reports, frames = measure(tone_engine, [Block(LOUD, 0)], every_s=every_s)
    expected = reference(LOUD, frames, chunks)
    assert len(reports) == len(expected) > 5
    for report, wanted in zip(reports, expected, strict=True):
        assert_same(report, wanted)
    assert sum(report.clipped_samples for report in reports) == 150


@given(cuts=st.lists(st.integers(1, len(LOUD) - 1), max_size=8), others=st.integers(0, 2))
def test_reports_depend_on_the_samples_alone(
    tone_engine: Engine, cuts: list[int], others: int
) -> None:
    edges = sorted({0, *cuts, len(LOUD)})
    blocks = [Block(LOUD[a:b], a) for a, b in pairwise(edges)]
    whole, _ = measure(tone_engine, [Block(LOUD, 0)], every_s=0.5)
    cut, _ = measure(tone_engine, blocks, every_s=0.5, others=others)
    assert len(cut) == len(whole)
    for one, other in zip(cut, whole, strict=True):
        assert_same(one, other)


def test_reports_joined_are_the_report_of_the_whole(tone_engine: Engine) -> None:
    (whole,), _ = measure(tone_engine, [Block(LOUD, 0)], every_s=len(LOUD) / SAMPLE_RATE)
    parts, _ = measure(tone_engine, [Block(LOUD, 0)], every_s=CHUNK / SAMPLE_RATE)
    assert_same(reduce(LevelReport.joined, parts), whole)


def test_decibels_of_a_sine_and_of_nothing(tone_engine: Engine) -> None:
    sine = np.sin(2 * np.pi * 1000 / SAMPLE_RATE * np.arange(SAMPLE_RATE)).astype(np.float32)
    (report, *_), _ = measure(tone_engine, [Block(0.1 * sine, 0)], every_s=0.5)
    assert report.peak_dbfs == pytest.approx(-20.0, abs=0.01)
    assert report.rms_dbfs == pytest.approx(-23.01, abs=0.01)
    assert not report.digital_silence
    (silent, *_), _ = measure(tone_engine, [Block(0 * sine, 0)], every_s=0.5)
    assert (silent.peak_dbfs, silent.rms_dbfs, silent.digital_silence) == (None, None, True)


def test_levels_are_not_measured_unasked(tone_engine: Engine) -> None:
    reports, _ = measure(tone_engine, [Block(LOUD, 0)], every_s=0.0)
    assert reports == []
