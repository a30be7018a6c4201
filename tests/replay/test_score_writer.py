"""Score files: exact, whole, and readable by the field's library."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.replay.score_writer import ScoreFileWriter, decimal

RATE, FRAME = 16_000, 1000
SCORES = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=1, max_size=700).map(
    lambda rows: np.array(rows, np.float32)
)

Array = NDArray[np.float32]


def written(rows: Array, *, first: int, cut: int, end_sample: int) -> str:
    file = io.StringIO()
    scores = ScoreFileWriter(file, ("Dog", "Running water"), frame_samples=FRAME, sample_rate=RATE)
    scores.add(first * FRAME, rows[:cut])
    scores.add((first + len(rows[:cut])) * FRAME, rows[cut:])
    scores.end(end_sample)
    return file.getvalue()


@given(SCORES, st.integers(0, 300), st.integers(0, 700), st.integers(0, 600), st.integers(1, FRAME))
def test_scores_are_read_back_exactly(
    rows: Array, first: int, cut: int, after: int, last_samples: int
) -> None:
    frames = first + len(rows) + after
    end = (frames - 1) * FRAME + last_samples
    head, *lines = written(rows, first=first, cut=cut, end_sample=end).splitlines()
    assert head == "onset\toffset\tDog\tRunning water"
    assert len(lines) == math.ceil(end / FRAME) == frames
    cells = [line.split("\t") for line in lines]
    found = np.array([[float(c) for c in row[2:]] for row in cells]).astype(np.float32)
    expected = np.zeros((frames, 2), np.float32)
    expected[first : first + len(rows)] = rows
    assert found.tobytes() == expected.tobytes()
    onsets, offsets = [row[0] for row in cells], [row[1] for row in cells]
    assert onsets == [decimal(n * FRAME / RATE) for n in range(frames)]
    assert offsets == [*onsets[1:], decimal(end / RATE)]


@pytest.mark.parametrize("rows", [255, 256, 257, 258, 512, 513])
def test_the_last_frame_is_cut_however_many_there_are(rows: int) -> None:
    end = rows * FRAME - 1
    lines = written(
        np.full((rows, 2), 0.5, np.float32), first=0, cut=rows, end_sample=end
    ).splitlines()
    assert len(lines) == 1 + rows
    assert lines[-1].split("\t")[1] == decimal(end / RATE)


def test_a_recording_without_decoded_frames() -> None:
    lines = written(np.zeros((0, 2), np.float32), first=0, cut=0, end_sample=1500).splitlines()[1:]
    assert lines == ["0\t0.0625\t0\t0", "0.0625\t0.09375\t0\t0"]


def test_the_library_of_the_field_reads_them(tmp_path: Path) -> None:
    library = pytest.importorskip("sed_scores_eval.base_modules", reason="needs the extra eval")
    generator = np.random.default_rng(0)
    rows = generator.random((900, 2), np.float32)
    rows[:300] = 0.0
    path = tmp_path / "a.tsv"
    path.write_text(written(rows, first=0, cut=400, end_sample=899 * FRAME + 17))
    table = library.io.read_sed_scores(path)
    edges, classes = library.scores.validate_score_dataframe(table)
    assert list(classes) == ["Dog", "Running water"]
    np.testing.assert_array_equal(table[classes].to_numpy(np.float32), rows)
    assert len(edges) == 901
    assert edges[-1] == pytest.approx((899 * FRAME + 17) / RATE, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0"), (1.0, "1"), (10.0, "10"), (0.064, "0.064"), (36_000.0625, "36000.0625")],
)
def test_decimals(seconds: float, text: str) -> None:
    assert decimal(seconds) == text
