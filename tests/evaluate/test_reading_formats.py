"""Tables and folders as the field's tools write them, and what is lost in none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamsed.errors import DataError
from streamsed.evaluate.reading.event_tables import read_durations
from streamsed.evaluate.reading.ground_truth import read_events
from streamsed.evaluate.reading.score_files import read_score_file
from tests.evaluate.folders import write

EVENTS = [("a", 0.5, 1.25, "Dog"), ("a", 2.0, 3.0, "Cat"), ("b", 1.0, 2.5, "Dog")]


def events(path: Path) -> list[tuple[str, float, float, str]]:
    file = read_events(path, note=lambda _: None)
    return sorted((r.recording, r.onset_s, r.offset_s, r.label) for r in file.rows)


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_events(path, note=lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def table(path: Path, head: str | None, *, columns: str = "{0}\t{1}\t{2}\t{3}") -> Path:
    rows = [columns.format(*event) for event in EVENTS]
    return write(path, *([head] if head else []), *rows)


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("Filename\tOnset\tOffset\tEvent_Label", "{0}\t{1}\t{2}\t{3}"),
        ("filename\tonset\toffset\tlabel", "{0}\t{1}\t{2}\t{3}"),
        ("segment_id\tstart_time_seconds\tend_time_seconds\tlabel", "{0}\t{1}\t{2}\t{3}"),
        ("file,start,end,class", "{0},{1},{2},{3}"),
        ("label;filename;onset;offset", "{3};{0};{1};{2}"),
        (None, "{0}\thome\t{1}\t{2}\t{3}"),
        (None, "{0}\t{1}\t{2}\t{3}"),
        (
            "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin File\tAnnotation",
            "{1}{0}\tSpectrogram 1\t1\t{1}\t{2}\t{0}.wav\t{3}",
        ),
    ],
)
def test_tables_that_mean_the_same(tmp_path: Path, head: str | None, columns: str) -> None:
    found = events(table(tmp_path / "events.tsv", head, columns=columns))
    assert [(name.removesuffix(".wav"), *rest) for name, *rest in found] == sorted(EVENTS)


def test_raven_counts_a_list_of_files_from_the_first(tmp_path: Path) -> None:
    """And has the times in their own files in another column."""
    head = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tCommon Name"
    rows = ["1\t0.5\t1.25\ta\t0.5\tDog", "2\t2\t3\ta\t2\tCat", "3\t11.1\t12.6\tb\t1\tDog"]
    assert events(write(tmp_path / "selections.txt", head, *rows)) == sorted(EVENTS)


def test_decimal_commas_between_tabs_are_refused_with_the_cure(tmp_path: Path) -> None:
    """There they may part thousands."""
    write(tmp_path / "labels" / "a.txt", "0,500000\t1,250000\tDog")
    assert "'0,500000'; a decimal point" in refusal(tmp_path / "labels")


def test_semicolons_with_decimal_commas(tmp_path: Path) -> None:
    path = write(
        tmp_path / "events.csv",
        "filename;onset;offset;event_label",
        *(f"{name};{on};{off};{label}".replace(".", ",") for name, on, off, label in EVENTS),
    )
    assert events(path) == sorted(EVENTS)
    durations = write(tmp_path / "d.csv", "filename;duration", "a;10,5", "b;3")
    assert read_durations(durations, note=lambda _: None) == {"a": 10.5, "b": 3.0}
    scores = write(tmp_path / "a.csv", "onset;offset;Dog", "0,0;0,5;0,25", "0,5;1,0;1")
    assert read_score_file(scores).table.scores.tolist() == [[0.25], [1.0]]


def folder(path: Path, *, ending: str, row: str, head: str | None = None) -> Path:
    for name in ("a", "b"):
        rows = [row.format(n, a, b, c) for n, a, b, c in EVENTS if n == name]
        write(path / f"{name}{ending}", *([head] if head else []), *rows)
    return path


@pytest.mark.parametrize(
    ("ending", "row", "head"),
    [
        (".ann", "{1}\t{2}\t{3}", None),
        (".txt", "{1}\t{2}\t{3}\n\\\t100.0\t200.0", None),
        (".csv", "{1},{2},{3}", "onset,offset,event_label"),
        (".txt", "{0}\thome\t{1}\t{2}\t{3}", None),
        (
            ".Table.1.selections.txt",
            "{1}\tWaveform 1\t1\t{1}\t{2}\t{3}\n{1}\tSpectrogram 1\t1\t{1}\t{2}\t{3}",
            "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tSpecies",
        ),
    ],
)
def test_folders_with_a_file_a_recording(
    tmp_path: Path, ending: str, row: str, head: str | None
) -> None:
    found = folder(tmp_path / "lists", ending=ending, row=row, head=head)
    assert events(found) == sorted(EVENTS)


def jams(namespace: str, data: Any) -> str:
    return json.dumps({"annotations": [{"namespace": namespace, "data": data}]})


def test_jams(tmp_path: Path) -> None:
    a, b = tmp_path / "jams" / "a.jams", tmp_path / "jams" / "b.jams"
    scaper = [
        {"time": on, "duration": off - on, "value": {"label": c, "role": "foreground"}}
        for name, on, off, c in EVENTS
        if name == "a"
    ]
    scaper.append({"time": 0, "duration": 10, "value": {"label": "hum", "role": "background"}})
    write(a, jams("scaper", scaper))
    write(b, jams("tag_open", {"time": [1.0], "duration": [1.5], "value": ["Dog"]}))
    assert events(a.parent) == sorted(EVENTS)
    assert events(b) == [EVENTS[2]]
    write(b, jams("chord", []))
    assert "the namespaces chord; scaper, tag_open or segment_open would be right" in refusal(b)
    write(b, "{}")
    assert "is no JAMS file" in refusal(b)


@pytest.mark.parametrize(
    "row",
    ["0.5\t1.25\tDog", "0.5\t1.25\tDog\t0.9"],
)
def test_labels_that_do_not_name_their_recording_go_into_a_folder(tmp_path: Path, row: str) -> None:
    assert "put it into a folder" in refusal(write(tmp_path / "labels.txt", row))


def test_selections_that_do_not_name_their_recording_go_into_a_folder(tmp_path: Path) -> None:
    head = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies"
    message = refusal(write(tmp_path / "selections.txt", head, "1\t0.5\t1.25\tDog"))
    assert "filename is missing" in message
    assert "put it into a folder" in message


@pytest.mark.parametrize(
    ("lines", "where", "cells"),
    [
        (["filename,onset,offset,event_label", "a,0,1,Horn, car"], 2, (5, 4)),
        (["filename,onset,offset,event_label", "a,0,1,Dog", "a,0,5,1,5,Dog"], 3, (6, 4)),
        (["filename\tonset\toffset\tevent_label", "a\t0\t1\tDog\ta\t2\t3\tCat"], 2, (8, 4)),
        (["filename\tonset\toffset\tevent_label", "a\t0\t1\tDoga\t2\t3\tCat"], 2, (7, 4)),
        (["a\t0\t1\tDog", "a\t0\t1\tDog\t0.5"], 2, (5, 4)),
        (["filename;onset;offset;label", "a;0;1;Horn; car"], 2, (5, 4)),
    ],
)
def test_no_cell_is_lost(
    tmp_path: Path, lines: list[str], where: int, cells: tuple[int, int]
) -> None:
    message = refusal(write(tmp_path / "events.csv", *lines))
    assert f"line {where}: has {cells[0]} cells, and line 1 has {cells[1]}" in message


def test_empty_cells_at_the_end_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "e.tsv", "filename\tonset\toffset\tevent_label", "a\t0\t1\tDog\t\t")
    assert events(path) == [("a", 0.0, 1.0, "Dog")]
    quoted = write(tmp_path / "e.csv", "filename,onset,offset,label", 'a,0,1,"Horn, car"')
    assert events(quoted) == [("a", 0.0, 1.0, "Horn, car")]


def test_a_row_of_two_durations(tmp_path: Path) -> None:
    path = write(tmp_path / "durations.tsv", "filename\tduration", "a\t10\tb\t10")
    with pytest.raises(DataError, match="line 2: has 4 cells, and line 1 has 2"):
        read_durations(path, note=lambda _: None)
