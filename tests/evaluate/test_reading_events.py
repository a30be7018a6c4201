"""Tables of events and durations: what is read, mended and refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import DataError
from streamsed.evaluate.reading.event_tables import (
    EventRow,
    merge_connected,
    read_durations,
    read_event_file,
)
from streamsed.evaluate.reading.ground_truth import read_ground_truth
from tests.evaluate.folders import HEAD, write, write_events

ROW = "a.wav\t1.0\t2.5\tDog"


def read(path: Path) -> tuple[list[tuple[str, float, float, str]], list[str]]:
    notes: list[str] = []
    rows = read_event_file(path, note=notes.append).rows
    return [(r.recording, r.onset_s, r.offset_s, r.label) for r in rows], notes


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_event_file(path, note=lambda _: None)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text.removeprefix(str(path))


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n{ROW}\n",
        f"\ufeff{HEAD}\r\n{ROW}\r\n",
        f"{HEAD}\n\n  \n{ROW}",
        f"{ROW}\n",
        "event_label\tonset\toffset\tfilename\tindex\nDog\t1.0\t2.5\ta.wav\t1\n",
        f"{HEAD}\tprobability\n{ROW}\t0.3\n",
        'filename\tonset\toffset\tevent_label\n"a.wav"\t1\t2.5\t"Dog"\n',
    ],
    ids=["plain", "windows", "blank lines", "no head", "baseline", "further column", "quoted"],
)
def test_forms_that_mean_the_same(tmp_path: Path, content: str) -> None:
    path = tmp_path / "events.tsv"
    path.write_bytes(content.encode())
    assert read(path) == ([("a.wav", 1.0, 2.5, "Dog")], [])


def test_commas_are_read_and_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", HEAD.replace("\t", ","), 'a.wav,1,2.5,"Dog, barking"')
    rows, notes = read(path)
    assert rows == [("a.wav", 1.0, 2.5, "Dog, barking")]
    assert notes == [f"{path}: is comma-separated, not tab-separated, and was read as that"]


@pytest.mark.parametrize("nothing", ["b.wav\t\t\t", "b.wav", "b.wav\tnan\tnan\tnan"])
def test_recordings_without_events(tmp_path: Path, nothing: str) -> None:
    path = write(tmp_path / "truth.tsv", HEAD, ROW, nothing)
    file = read_event_file(path, note=pytest.fail)
    assert [row.recording for row in file.rows] == ["a.wav"]
    assert file.recordings == {"a.wav": f"{path}, line 2", "b.wav": f"{path}, line 3"}


def test_an_event_of_no_length_is_left_out_and_noted(tmp_path: Path) -> None:
    path = write_events(tmp_path / "e.tsv", "a 1 2 Dog", "a 3 3 Cat")
    rows, notes = read(path)
    assert len(rows) == 1
    assert notes == [f"left out 1 event of no length, first Cat at 3 s in {path}, line 3"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.wav\t2\t1\tDog", "the onset (2 s) is after the offset (1 s)"),
        ("a.wav\t-0.5\t1\tDog", "the onset is -0.5 s; an event cannot begin before"),
        ("a.wav\tnan\t1\tDog", "the onset is nan; a finite number would be right"),
        ("a.wav\t1\tinf\tDog", "the offset is inf; a finite number would be right"),
        ("a.wav\tsoon\t1\tDog", "the onset is 'soon', which is no number"),
        ("a.wav\t1,5\t2\tDog", "which is no number; a decimal point, not a comma"),
        ("a.wav\t1\t\tDog", "the offset is missing"),
        ("a.wav\t1\t2\t", "the event_label is missing"),
        ("\t1\t2\tDog", "the filename is missing"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, row: str, problem: str) -> None:
    path = write(tmp_path / "truth.tsv", HEAD, ROW, "", row)
    message = refusal(path)
    assert message.startswith(", line 4: ")
    assert problem in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": is empty"),
        (b"\n\n", ": is empty"),
        (b"f\tonset\toffset\tevent_label\na\t1\t2\tx\n", "'f', 'onset'"),
        (b"f\tonset\toffset\tevent_label\na\t1\t2\tx\n", "filename is missing"),
        (b"filename\tonset\tonset\toffset\tevent_label\na\t1\t1\t2\tx\n", "two columns 'onset'"),
        (b'filename\tonset\toffset\tevent_label\na\t1\t2\t"x\nb\t1\t2\ty\n', "line 2: a quotation"),
        (b"filename\tonset\toffset\tevent_label\na\t1\t2\tx\0\n", "line 2: is no UTF-8 text"),
        (b"filename\tevent_labels\na.wav\tDog,Cat\n", "line 1: has weak labels"),
        (b"filename\tonset\toffset\tevent_label\na\t1\t2\tM\xfcll\n", "line 2: is no UTF-8"),
        (b"\xff\xfef\x00i\x00", "line 1: is no UTF-8 text"),
        (b"filename onset offset event_label\na 1 2 x\n", "has the columns"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "truth.tsv"
    path.write_bytes(content)
    assert problem in refusal(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "truth.tsv")


def test_no_detections_at_all_are_valid(tmp_path: Path) -> None:
    for content in ("", "\n", '""\n', f"{HEAD}\n"):
        path = tmp_path / "events.tsv"
        path.write_text(content, encoding="utf-8")
        assert read_event_file(path, note=pytest.fail, may_be_empty=True).rows == ()


def test_durations(tmp_path: Path) -> None:
    head = write(tmp_path / "a.tsv", "duration\tfilename", "10.0\ta.wav", "10\ta.wav", "3.5\tb")
    assert read_durations(head, note=pytest.fail) == {"a.wav": 10.0, "b": 3.5}
    bare = write(tmp_path / "b.tsv", "a.wav\t10", "b\t3.5")
    assert read_durations(bare, note=pytest.fail) == {"a.wav": 10.0, "b": 3.5}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], ": is empty"),
        (["filename\tduration"], ": names no recording"),
        (["filename\tsize", "a\t1"], "line 1: has the columns 'filename', 'size'"),
        (["filename\tduration", "a\t0"], "line 2: the duration is 0"),
        (["filename\tduration", "a\tnan"], "line 2: the duration is nan"),
        (["filename\tduration", "a"], "line 2: a filename and a duration would be right"),
        (["filename\tduration", "a\t1", "a\t2"], "line 3: 'a' lasts 2 s, but 1 s on line 2"),
    ],
)
def test_durations_that_cannot_be_used(tmp_path: Path, lines: list[str], problem: str) -> None:
    path = write(tmp_path / "durations.tsv", *lines)
    with pytest.raises(DataError) as caught:
        read_durations(path, note=lambda _: None)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("column", ["soft_label", "confidence"])
def test_soft_labels_in_a_table(tmp_path: Path, column: str) -> None:
    path = write(
        tmp_path / "soft.tsv",
        f"{HEAD}\t{column}",
        "a\t0\t1\tcar\t0.49",
        "a\t1\t2\tcar\t0.5",
        "a\t2\t3\tcar\t1",
        "b\t0\t1\tcar\t0.0",
    )
    notes: list[str] = []
    truth = read_ground_truth(path, note=notes.append)
    assert [(r.recording, r.onset_s, r.offset_s) for r in truth.rows] == [("a", 1, 2), ("a", 2, 3)]
    assert set(truth.recordings) == {"a", "b"}
    assert notes == [f"{path}: soft labels count as true from 0.5: 2 of 4 labels"]


def test_soft_labels_in_a_folder_of_maestro_real(tmp_path: Path) -> None:
    folder = tmp_path / "annotation"
    write(
        folder / "cafe" / "soft_labels_cafe_00.txt", "0\t1\tpeople talking\t0.7", "0\t1\tcar\t0.1"
    )
    write(folder / "street" / "street_01.txt", "3.0\t4.0\tcar\t1.0")
    truth = read_ground_truth(folder, note=lambda _: None)
    assert [(r.recording, r.label) for r in truth.rows] == [
        ("cafe_00", "people talking"),
        ("street_01", "car"),
    ]
    assert set(truth.recordings) == {"cafe_00", "street_01"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0\t1\tcar\t1.5", "line 1: the soft label is 1.5; from 0 to 1 would be right"),
        ("0\t1\tcar\tyes", "line 1: the soft label is 'yes', which is no number"),
        ("filename\tduration", "would be right in a folder of label files"),
    ],
)
def test_soft_labels_that_cannot_be_used(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path / "labels" / "a.txt", line)
    with pytest.raises(DataError) as caught:
        read_ground_truth(path.parent, note=lambda _: None)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


def test_an_empty_folder_of_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no label file"):
        read_ground_truth(tmp_path, note=lambda _: None)


GRID = st.integers(0, 12)
EVENTS = st.lists(
    st.builds(
        lambda name, begin, length, label, line: EventRow(
            name, begin / 4, (begin + length) / 4, label, Path("e.tsv"), line
        ),
        st.sampled_from("ab"),
        GRID,
        st.integers(1, 5),
        st.sampled_from(("Cat", "Dog")),
        st.integers(1, 99),
    ),
    max_size=12,
)


def covered(rows: list[EventRow]) -> set[tuple[str, str, int]]:
    """Which quarters of a second are inside an event: the slow, obvious way."""
    return {
        (r.recording, r.label, quarter)
        for r in rows
        for quarter in range(round(r.onset_s * 4), round(r.offset_s * 4))
    }


@given(EVENTS, st.booleans())
def test_merging_keeps_what_is_covered_and_leaves_no_overlap(
    rows: list[EventRow], touching: bool
) -> None:
    merged, absorbed = merge_connected(rows, touching=touching)
    assert covered(merged) == covered(rows)
    assert len(merged) + len(absorbed) == len(rows)
    for one, other in itertools.pairwise(merged):
        if (one.recording, one.label) == (other.recording, other.label):
            if touching:
                assert one.offset_s < other.onset_s
            else:
                assert one.offset_s <= other.onset_s
    assert merge_connected(merged, touching=touching) == (merged, [])


def test_touching_events_are_merged_only_if_asked_for() -> None:
    rows = [EventRow("a", t, t + 1, "car", Path("e"), int(t)) for t in (0.0, 1.0, 2.0)]
    assert len(merge_connected(rows, touching=False)[0]) == 3
    (row,), _ = merge_connected(rows, touching=True)
    assert (row.onset_s, row.offset_s) == (0, 3)
