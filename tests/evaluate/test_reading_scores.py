"""Score files and operating points: what is read and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sed_scores_eval.base_modules.io import read_sed_scores, write_sed_scores
from sed_scores_eval.base_modules.scores import create_score_dataframe

from streamsed.errors import DataError
from streamsed.evaluate.reading.operating_points import read_operating_points, threshold_of
from streamsed.evaluate.reading.score_files import find_score_files, read_score_file
from tests.evaluate.folders import CLASSES, random_scores, write, write_events, write_scores

HEAD = "onset\toffset\tCat\tDog"


def test_what_sed_scores_eval_writes_is_read_exactly(tmp_path: Path) -> None:
    scores = random_scores(0)
    edges = np.append(np.arange(100) * 0.064, 6.37)  # the last frame is cut
    frame = create_score_dataframe(scores, edges, list(CLASSES))
    write_sed_scores({"Y1_30.000_40.000": frame}, tmp_path)
    ((name, path),) = find_score_files(tmp_path).items()
    file = read_score_file(path)
    assert name == "Y1_30.000_40.000"
    assert file.classes == CLASSES
    np.testing.assert_array_equal(file.table.scores, scores)
    np.testing.assert_array_equal(file.table.edges_s, edges)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_any_scores_are_read_as_sed_scores_eval_reads_them(
    tmp_path_factory: pytest.TempPathFactory, seed: int, frames: int
) -> None:
    path = tmp_path_factory.mktemp("scores") / "a.tsv"
    write_scores(path, random_scores(seed, frames=frames), frame_s=0.25)
    table, reference = read_score_file(path).table, read_sed_scores(path)
    np.testing.assert_array_equal(table.scores, reference[list(CLASSES)].to_numpy(np.float32))
    np.testing.assert_array_equal(table.edges_s[:-1], reference["onset"])
    np.testing.assert_array_equal(table.edges_s[1:], reference["offset"])


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n0\t0.1\t0.25\t1\n0.1\t0.2\t0\t0.5\n",
        f"\ufeff{HEAD}\r\n0\t0.1\t0.25\t1\r\n0.1\t0.2\t0\t0.5\r\n",
        f"{HEAD}\n\n0\t0.1\t0.25\t1\n0.1\t0.2\t0\t0.5",
        f"{HEAD.replace(chr(9), ',')}\n0,0.1,0.25,1\n0.1,0.2,0,0.5\n",
        f"\t{HEAD}\n0\t0\t0.1\t0.25\t1\n1\t0.1\t0.2\t0\t0.5\n",
        "onset\tCat\tDog\n0\t0.25\t1\n0.1\t0\t0.5\n",
        f"{HEAD}\n0\t0.1\t0.25\t1.0000001\n0.1001\t0.2\t-1e-9\t5e-1\n",
    ],
    ids=["plain", "windows", "blank line", "commas", "row numbers", "no offset", "rounded"],
)
def test_forms_that_mean_the_same(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(content.encode())
    file = read_score_file(path)
    assert file.classes == CLASSES
    np.testing.assert_array_equal(file.table.scores, np.float32([[0.25, 1], [0, 0.5]]))
    np.testing.assert_allclose(file.table.edges_s, [0, 0.1, 0.2], atol=2e-4)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], ": is empty"),
        ([HEAD], ": has no frames"),
        (["time\tCat", "0\t0"], ", line 1: has the columns 'time', 'Cat'"),
        (["onset\toffset", "0\t1"], ", line 1: has the columns"),
        (["offset\tonset\tCat", "1\t0\t0"], ", line 1: has the columns"),
        (["onset\toffset\tCat\tCat", "0\t1\t0\t0"], ", line 1: has two columns 'Cat'"),
        (["onset\toffset\ta\\b", "0\t1\t0"], ", line 1: the class 'a\\\\b' has a backslash"),
        ([HEAD, "0\t1\t0.5\tnan"], ", line 2: the score of Dog is nan"),
        ([HEAD, "0\t1\t0\t0", "", "1\t2\tinf\t0"], ", line 4: the score of Cat is inf"),
        ([HEAD, "0\t1\t0\t0", "1\t2\t-3.5\t0"], ", line 3: the score of Cat is -3.5; from 0 to 1"),
        (
            [HEAD, "0\t1\t0\t1.5"],
            "line 2: the score of Dog is 1.5; from 0 to 1 would be right; are",
        ),
        ([HEAD, "0\t1\t0\thigh"], ", line 2: the score of Dog is 'high', which is no number"),
        ([HEAD, "0\t1\t0\t"], ", line 2: the score of Dog is missing"),
        ([HEAD, "0\t1\t0\t0", "1\t2\t0"], ", line 3: has 3 columns, and the head has 4"),
        ([HEAD, "0\t1\t0\t0\t0"], ", line 2: has 5 columns, and the head has 4"),
        ([HEAD, "nan\t1\t0\t0"], ", line 2: the onset is nan"),
        ([HEAD, "0\t1\t0\t0", "2\t3\t0\t0"], ", line 3: the frame begins at 2 s, the one before"),
        ([HEAD, "0\t1\t0\t0", "0.5\t2\t0\t0"], "ends at 1 s: they overlap"),
        ([HEAD, "0\t1\t0\t0", "1\t1\t0\t0"], ", line 3: the frame ends at 1 s, not after"),
        ([HEAD, "5\t6\t0\t0"], ", line 2: the frame begins at 5 s, the first at 0 s"),
        (["onset\tCat", "0\t0"], ": has one frame and no column 'offset'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, lines: list[str], problem: str) -> None:
    path = write(tmp_path / "a.tsv", *lines)
    with pytest.raises(DataError) as caught:
        read_score_file(path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_nested_folders_name_their_recordings(tmp_path: Path) -> None:
    for name in ("x/a.tsv", "b.0.tsv", ".hidden.tsv", ".cache/c.tsv", "notes.txt"):
        write_scores(tmp_path / name, [[0, 0]])
    assert list(find_score_files(tmp_path)) == ["b.0", "x/a"]


def test_folders_without_score_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no score file"):
        find_score_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_score_files(tmp_path / "nowhere")
    write(tmp_path / "a.tsv")
    write(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a\.csv .*a\.tsv"):
        find_score_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("predictions_th_0.49.tsv", 0.49),
        ("0.500.tsv", 0.5),
        ("2021_run3_th.05.tsv", 0.05),
        ("th1.tsv", 1.0),
        ("th_1e-3.tsv", 0.001),
    ],
)
def test_threshold_in_a_name(name: str, threshold: float) -> None:
    assert threshold_of(Path(name)) == threshold


@pytest.mark.parametrize("name", ["predictions.tsv", "th_49.tsv", "events_2021.tsv"])
def test_no_threshold_in_a_name(name: str) -> None:
    with pytest.raises(DataError, match=name):
        threshold_of(Path(name))


def test_operating_points_rise_and_may_be_empty(tmp_path: Path) -> None:
    write_events(tmp_path / "th_0.5.tsv", "a 1 2 Dog")
    write(tmp_path / "th_0.99.tsv")
    write_events(tmp_path / "th_0.01.tsv", "a 0 9 Dog", "a 3 4 Cat")
    points = read_operating_points(tmp_path, note=pytest.fail)
    assert [(at, len(file.rows)) for at, file in points.items()] == [(0.01, 2), (0.5, 1), (0.99, 0)]


def test_operating_points_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no event file"):
        read_operating_points(tmp_path, note=pytest.fail)
    write_events(tmp_path / "th_0.5.tsv")
    write_events(tmp_path / "th_0.50.tsv")
    with pytest.raises(DataError, match=r"th_0\.5\.tsv .*th_0\.50\.tsv"):
        read_operating_points(tmp_path, note=pytest.fail)
