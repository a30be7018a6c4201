"""Everything on one set of names and classes: what is evaluated, noted and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamsed.errors import DataError
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.reading.evaluation_data import (
    check_ground_truth,
    read_evaluation_data,
    read_replay,
)
from tests.evaluate.folders import CLASSES, HEAD, random_scores, write, write_events, write_scores


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_events(tmp_path / "truth.tsv", "a.wav 1 3 Cat", "a.wav 5 6 Dog", "b.wav 2 4 Dog")


@pytest.fixture
def durations(tmp_path: Path) -> Path:
    return write(tmp_path / "durations.tsv", "filename\tduration", "a.wav\t10", "b.wav\t10")


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        write_scores(tmp_path / "scores" / f"{name}.tsv", random_scores(number))
    return tmp_path / "scores"


def rows(table: Any) -> list[tuple[str, float, float, str]]:
    return list(table.itertuples(index=False, name=None))


def refusal(**files: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_evaluation_data(**files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def noted(data: EvaluationData, *words: str) -> str:
    (note,) = [note for note in data.notes if all(word in note for word in words)]
    return note


def test_scores_with_the_truth(truth: Path, scores: Path) -> None:
    data = read_evaluation_data(ground_truth=truth, scores=scores, threshold=0.3)
    assert data.classes == CLASSES
    assert data.durations_s == {"a.wav": 10.0, "b.wav": 10.0}  # where the scores end
    assert rows(data.truth) == [
        ("a.wav", 1, 3, "Cat"),
        ("a.wav", 5, 6, "Dog"),
        ("b.wav", 2, 4, "Dog"),
    ]
    assert data.scores is not None
    np.testing.assert_array_equal(data.scores["b.wav"].scores, random_scores(1))
    assert (data.events, data.operating_points, data.decided) == (None, None, None)
    assert data.threshold == 0.3
    assert data.notes == ()


def test_events_under_other_names(tmp_path: Path, truth: Path, durations: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "/data/b.flac 2 4 Dog", "a 0 1 Cat", "a 1 2 Cat")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=events)
    assert rows(data.events) == [
        ("a.wav", 0, 1, "Cat"),  # touching detections are two
        ("a.wav", 1, 2, "Cat"),
        ("b.wav", 2, 4, "Dog"),
    ]
    assert data.classes == CLASSES


def test_no_detections(tmp_path: Path, truth: Path, durations: Path) -> None:
    events = write(tmp_path / "events.tsv")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=events)
    assert rows(data.events) == []
    assert data.notes == ()


def test_operating_points(tmp_path: Path, truth: Path, durations: Path) -> None:
    for at in (0.1, 0.9):
        write_events(tmp_path / "points" / f"th_{at}.tsv", f"a.wav 1 {3 - at} Cat")
    data = read_evaluation_data(
        ground_truth=truth, durations=durations, operating_points=tmp_path / "points"
    )
    assert data.operating_points is not None
    assert list(data.operating_points) == [0.1, 0.9]
    assert rows(data.operating_points[0.9]) == [("a.wav", 1, 2.1, "Cat")]
    assert data.events is None


def test_notes_of_many_operating_points_are_few(
    tmp_path: Path, truth: Path, durations: Path
) -> None:
    for at in range(10, 20):
        write_events(tmp_path / "points" / f"th_0.{at}.tsv", "a.wav 1 3 Cat", "zzz 1 2 Cat")
    data = read_evaluation_data(
        ground_truth=truth, durations=durations, operating_points=tmp_path / "points"
    )
    assert len(data.notes) == 4
    assert data.notes[-1] == "and 7 notes like these of the operating points"


def test_connected_truth_is_merged(tmp_path: Path, scores: Path) -> None:
    truth = write_events(
        tmp_path / "t.tsv", "a 1 3 Cat", "a 2 4 Cat", "a 4 5 Cat", "a 1 2 Dog", "b 1 2 Cat"
    )
    data = read_evaluation_data(ground_truth=truth, scores=scores)
    assert rows(data.truth) == [
        ("a", 1, 5, "Cat"),
        ("a", 1, 2, "Dog"),
        ("b", 1, 2, "Cat"),
    ]
    assert noted(data, "merged 2 labels").endswith(f"the first Cat in {truth}, line 3")


def test_overlapping_detections_are_merged(tmp_path: Path, truth: Path, durations: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "a 1 3 Cat", "a 2 4 Cat")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=events)
    assert rows(data.events) == [("a.wav", 1, 4, "Cat")]
    assert "on line 3" in noted(data, "merged 1 detection")


def test_a_label_that_no_score_has(tmp_path: Path, scores: Path) -> None:
    truth = write_events(tmp_path / "t.tsv", "a 1 2 Cat", "b 1 2 Dogs")
    message = refusal(ground_truth=truth, scores=scores)
    assert message.startswith(f"{truth}, line 3: the label 'Dogs' is none of the classes")
    assert "did you mean 'Dog'?" in message
    data = read_evaluation_data(ground_truth=truth, scores=scores, classes=["Cat"])
    assert rows(data.truth) == [("a", 1, 2, "Cat")]
    assert "Dogs (1)" in noted(data, "left out 1 event of other classes")
    assert data.scores is not None
    np.testing.assert_array_equal(data.scores["a"].scores, random_scores(0)[:, :1])


def test_a_detection_of_a_class_without_truth(tmp_path: Path, truth: Path, durations: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "a 1 2 Cat", "b 1 2 dog", "b 3 4 dog")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=events)
    assert data.classes == ("Cat", "Dog", "dog")
    note = noted(data, "'dog' never occurs in the ground truth")
    assert f"{events}, line 3" in note
    assert "did you mean 'Dog'?" in note


def test_classes_that_do_not_occur(truth: Path, scores: Path) -> None:
    message = refusal(ground_truth=truth, scores=scores, classes=["Cta"])
    assert message == "classes: there is no 'Cta'; did you mean 'Cat'? known: Cat, Dog"


def test_classes_of_score_files_in_another_order(tmp_path: Path, truth: Path) -> None:
    folder = tmp_path / "scores"
    write_scores(folder / "a.tsv", random_scores(0))
    write_scores(folder / "b.tsv", random_scores(1)[:, ::-1], classes=CLASSES[::-1])
    data = read_evaluation_data(ground_truth=truth, scores=folder)
    assert data.scores is not None
    np.testing.assert_array_equal(data.scores["b.wav"].scores, random_scores(1))


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (("Cat", "Dgo"), "has no column"),
        (("Cat",), "has no column 'Dog'"),
        (("Cat", "Dog", "Owl"), "has no column 'Owl'"),
    ],
)
def test_different_classes_in_score_files(
    tmp_path: Path, truth: Path, classes: tuple[str, ...], problem: str
) -> None:
    folder = tmp_path / "scores"
    write_scores(folder / "a.tsv", random_scores(0))
    write_scores(folder / "b.tsv", random_scores(1, classes=len(classes)), classes=classes)
    message = refusal(ground_truth=truth, scores=folder)
    assert problem in message
    assert "a.tsv" in message
    assert "b.tsv" in message


def test_scores_of_some_recordings_alone_are_refused_unless_asked_for(
    tmp_path: Path, truth: Path, scores: Path
) -> None:
    lengths = ("a.wav\t10", "b.wav\t10", "c.wav\t10")
    durations = write(tmp_path / "durations.tsv", "filename\tduration", *lengths)
    message = refusal(ground_truth=truth, durations=durations, scores=scores)
    assert "scores of 2 of the 3 recordings" in message
    assert "none of c.wav; --only-scored" in message
    (scores / "b.tsv").unlink()
    assert "scores of 1 of the 2 recordings" in refusal(ground_truth=truth, scores=scores)
    data = read_evaluation_data(
        ground_truth=truth, durations=durations, scores=scores, only_scored=True
    )
    assert list(data.durations_s) == ["a.wav"]
    assert rows(data.truth) == [("a.wav", 1, 3, "Cat"), ("a.wav", 5, 6, "Dog")]
    noted(data, "--only-scored: left out 2 recordings")
    assert "there are no --scores" in refusal(
        ground_truth=truth, durations=durations, events=truth, only_scored=True
    )


@pytest.mark.parametrize("head", [(), ("filename",), ("filename\tduration",)])
def test_a_subset(tmp_path: Path, truth: Path, scores: Path, head: tuple[str, ...]) -> None:
    (scores / "a.tsv").unlink()
    row = "b\t10" if head == ("filename\tduration",) else "b"
    listed = write(tmp_path / "list.txt", *head, row)
    data = read_evaluation_data(ground_truth=truth, scores=scores, subset=listed)
    assert list(data.durations_s) == ["b.wav"]
    assert rows(data.truth) == [("b.wav", 2, 4, "Dog")]
    wrong = write(tmp_path / "wrong.txt", "c.wav")
    assert "1 recording of it are not there: c.wav" in refusal(
        ground_truth=truth, scores=scores, subset=wrong
    )


def test_a_recording_without_truth_has_no_events(tmp_path: Path, scores: Path) -> None:
    truth = write_events(tmp_path / "truth.tsv", "a.wav 1 3 Cat")
    durations = write(tmp_path / "durations.tsv", "filename\tduration", "a.wav\t10", "b.wav\t10")
    data = read_evaluation_data(ground_truth=truth, durations=durations, scores=scores)
    noted(data, "does not name 1 recording", "b.wav")
    write_scores(scores / "z.tsv", random_scores(3))
    data = read_evaluation_data(ground_truth=truth, durations=durations, scores=scores)
    assert "z" in noted(data, "left out scores of 1 recording")


def test_events_of_few_recordings_are_noted(tmp_path: Path, truth: Path) -> None:
    lengths = [f"{name}.wav\t10" for name in "abc"]
    durations = write(tmp_path / "durations.tsv", "filename\tduration", *lengths)
    found = write_events(tmp_path / "found.tsv", "a 1 3 Cat")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=found)
    noted(data, "has events of 1 of 3 recordings", "--subset LIST")


def test_units_that_do_not_fit(tmp_path: Path, truth: Path, scores: Path) -> None:
    many = [f"a.wav {t} {t + 0.5} Dog" for t in range(10)]
    truth_of_many = write_events(tmp_path / "many.tsv", *many)
    for length in (10_000, 160_000):  # milliseconds, samples
        lengths = (f"a.wav\t{length}", f"b.wav\t{length}")
        durations = write(tmp_path / "durations.tsv", "filename\tduration", *lengths)
        assert "in seconds would be right" in refusal(
            ground_truth=truth_of_many, durations=durations, events=truth
        )
        assert "end at 10 s, and it lasts" in refusal(
            ground_truth=truth, durations=durations, scores=scores
        )
    seconds = write(tmp_path / "durations.tsv", "filename\tduration", "a.wav\t10", "b.wav\t10")
    found = write_events(tmp_path / "found.tsv", "a.wav 1000 3000 Cat", "b.wav 2000 4000 Dog")
    assert "2 of 2 detections are after the end" in refusal(
        ground_truth=truth, durations=seconds, events=found
    )


def test_one_recording_under_two_names(tmp_path: Path, durations: Path, truth: Path) -> None:
    both = write_events(tmp_path / "both.tsv", "a.wav 1 3 Cat", "a 5 6 Dog")
    for files in ({"ground_truth": both, "events": truth}, {"ground_truth": truth, "events": both}):
        message = refusal(durations=durations, **files)
        assert "'a' and 'a.wav' are one recording under two names" in message


def test_durations_come_from_audio(tmp_path: Path, truth: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "a 1 2 Cat")
    for name, seconds in (("a.wav", 8), ("deep/b.flac", 9.5), ("c.wav", 1)):
        path = tmp_path / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(round(800 * seconds)), 800)
    data = read_evaluation_data(ground_truth=truth, events=events, audio=tmp_path / "audio")
    assert data.durations_s == {"a.wav": 8.0, "b.wav": 9.5}
    assert data.audio == {
        "a.wav": tmp_path / "audio" / "a.wav",
        "b.wav": tmp_path / "audio" / "deep" / "b.flac",
    }
    (tmp_path / "audio" / "a.wav").write_bytes(b"no audio")
    message = refusal(ground_truth=truth, events=events, audio=tmp_path / "audio")
    assert "a.wav: its duration cannot be read" in message


def test_durations_that_nothing_tells(tmp_path: Path, truth: Path, scores: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "a 1 2 Cat")
    message = refusal(ground_truth=truth, events=events)
    assert message.startswith(f"a.wav ({truth}, line 2): its duration is not known, nor that of 1 ")
    assert "--durations" in message
    assert "--audio" in message


def test_true_events_after_the_end_are_left_out(tmp_path: Path, durations: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "a.wav 1 2 Cat", "a.wav 10.5 11 Cat")
    truth = write_events(tmp_path / "t.tsv", "a.wav 1 2 Cat", "a.wav 10 11 Cat")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=events)
    assert rows(data.truth) == [("a.wav", 1, 2, "Cat")]
    noted(data, "left out 1 true event", f"{truth}, line 3: the onset (10 s)", "(10 s)")
    assert "on line 3" in noted(data, "1 detection after the end")


def test_truth_in_another_unit_than_the_durations(tmp_path: Path, durations: Path) -> None:
    truth = write_events(
        tmp_path / "t.tsv", "a.wav 0 900 Cat", "a.wav 1000 2000 Cat", "b.wav 2500 3000 Dog"
    )
    message = refusal(ground_truth=truth, durations=durations, events=truth)
    assert message.startswith(
        f"{truth}, line 3: the onset (1000 s) is not before the end of the rec"
    )
    assert "2 of 3 true events" in message
    assert "in seconds" in message


def test_true_events_that_end_after_their_recording_are_left_so(
    tmp_path: Path, durations: Path
) -> None:
    truth = write_events(tmp_path / "t.tsv", "a.wav 1 2 Cat", "a.wav 9 10.25 Cat")
    data = read_evaluation_data(ground_truth=truth, durations=durations, events=truth)
    assert rows(data.truth)[1] == ("a.wav", 9, 10.25, "Cat")
    assert "0.25 s" in noted(data, "1 true event ends after the recording")


def test_scores_that_end_elsewhere_are_noted(tmp_path: Path, truth: Path, scores: Path) -> None:
    durations = write(tmp_path / "d.tsv", "filename\tduration", "a.wav\t10.1", "b.wav\t30")
    data = read_evaluation_data(ground_truth=truth, durations=durations, scores=scores)
    assert noted(data, "the scores of 1 recording end").endswith("b.wav (10 s of 30 s)")


def test_wholly_different_names(tmp_path: Path, truth: Path, durations: Path) -> None:
    events = write_events(tmp_path / "e.tsv", "x.wav 1 2 Cat")
    message = refusal(ground_truth=truth, durations=durations, events=events)
    assert message.startswith(
        f"{events}: none of its recordings is evaluated; they are called 'x.wav'"
    )
    other = write(tmp_path / "d.tsv", "filename\tduration", "x.wav\t10")
    message = refusal(ground_truth=truth, durations=other, events=events)
    assert message.startswith(f"{truth}: none of its recordings")


def test_ambiguous_names(tmp_path: Path, durations: Path, scores: Path) -> None:
    truth = write_events(tmp_path / "t.tsv", "x/a.wav 1 2 Cat", "y/a.wav 1 2 Cat")
    message = refusal(ground_truth=truth, scores=scores)
    assert "'a' could mean 'x/a.wav' or 'y/a.wav'" in message
    message = refusal(ground_truth=truth, durations=durations, scores=scores)
    assert "'x/a.wav' and 'y/a.wav' could both mean 'a.wav'" in message


def test_nothing_or_too_much_to_evaluate(truth: Path, scores: Path) -> None:
    assert "nothing to evaluate" in refusal(ground_truth=truth)
    assert "one of them" in refusal(ground_truth=truth, scores=scores, operating_points=scores)


def test_silence_can_be_evaluated(tmp_path: Path, durations: Path, scores: Path) -> None:
    truth = write(tmp_path / "t.tsv", HEAD)
    data = read_evaluation_data(ground_truth=truth, durations=durations, scores=scores)
    assert data.truth.empty
    assert data.classes == CLASSES
    assert "none of its recordings" in refusal(ground_truth=truth, scores=scores)


def test_segments_of_maestro_real(tmp_path: Path) -> None:
    truth = write_events(tmp_path / "gt.csv", *(f"cafe_00.wav {t} {t + 1} car" for t in range(5)))
    folder = tmp_path / "scores"
    write_scores(
        folder / "cafe_00.tsv", random_scores(0, frames=5), frame_s=1.0, classes=("car", "x")
    )
    durations = write(tmp_path / "d.csv", "filename\tduration", "cafe_00\t5.2")
    data = read_evaluation_data(
        ground_truth=truth, durations=durations, scores=folder, classes=["car"]
    )
    assert rows(data.truth) == [("cafe_00", 0, 5, "car")]


def test_a_ground_truth_can_be_checked_before_long_work(truth: Path) -> None:
    check_ground_truth(truth, classes=["Cat", "Dog", "Owl"])
    with pytest.raises(DataError, match=r"line 3: .*'Dog'.*--replay"):
        check_ground_truth(truth, classes=["Cat"])


def message(kind: str, source: str, label: str, *seconds: float, latency_ms: float | None) -> str:
    onset, offset = (*seconds, None)[:2]
    return json.dumps(
        {
            "kind": kind,
            "source": source,
            "label": label,
            "onset": {"seconds": onset, "sample": 0},
            "offset": None if offset is None else {"seconds": offset, "sample": 0},
            "latency_ms": latency_ms,
        }
    )


@pytest.fixture
def replayed(tmp_path: Path, scores: Path) -> Path:
    folder = tmp_path / "replay"
    folder.mkdir()
    scores.rename(folder / "scores")
    write(folder / "durations.tsv", "filename\tduration", "a.wav\t10", "b.wav\t10")
    write_events(folder / "events.tsv", "a.wav 1.1 3.2 Cat", "b.wav 2 4 Dog")
    write(
        folder / "messages.jsonl",
        message("onset", "a.wav", "Cat", 1.1, latency_ms=400),
        message("update", "a.wav", "Cat", 1.1, latency_ms=None),
        message("offset", "a.wav", "Cat", 1.1, 3.2, latency_ms=250),
        message("onset", "b.wav", "Dog", 2, latency_ms=1000),
        message("offset", "b.wav", "Dog", 2, 4, latency_ms=-100),
    )
    return folder


def test_replay(truth: Path, replayed: Path) -> None:
    data = read_replay(replayed, ground_truth=truth)
    assert rows(data.events) == [("a.wav", 1.1, 3.2, "Cat"), ("b.wav", 2, 4, "Dog")]
    assert rows(data.decided) == [
        ("a.wav", 1.1, 3.2, "Cat", 1.5, 3.45),
        ("b.wav", 2, 4, "Dog", 3.0, 3.9),
    ]
    assert data.scores is not None
    assert data.notes == ()
    one = read_replay(replayed, ground_truth=truth, classes=["Dog"])
    assert rows(one.decided) == [("b.wav", 2, 4, "Dog", 3.0, 3.9)]


def test_replay_of_other_recordings_than_the_truth_names(
    tmp_path: Path, truth: Path, replayed: Path
) -> None:
    write_events(truth, "a.wav 1 3 Cat", "z.wav 1 2 Dog")
    write(replayed / "failed.tsv", "filename\treason", "b.wav\tis no audio")
    data = read_replay(replayed, ground_truth=truth)
    assert list(data.durations_s) == ["a.wav", "b.wav"]
    assert f"{truth}, line 3" in noted(data, "left out 1 recording of the ground truth")
    assert "b.wav" in noted(data, "does not name 1 recording")
    assert "b.wav" in noted(data, "the replay failed on 1 recording")


def test_truth_after_a_replay_broke_off_is_left_out(truth: Path, replayed: Path) -> None:
    """Most of it may lie there, which is no sign of times in another unit."""
    write_events(truth, "a.wav 1 3 Cat", "b.wav 2 4 Dog", "b.wav 5 6 Dog", "b.wav 7 8 Dog")
    write(replayed / "durations.tsv", "filename\tduration", "a.wav\t10", "b.wav\t1.5")
    with pytest.raises(DataError, match="as of 3 of 4 true events"):
        read_replay(replayed, ground_truth=truth)
    write(replayed / "failed.tsv", "filename\treason", "b.wav\tits decoder failed after 1.5 s")
    data = read_replay(replayed, ground_truth=truth)
    assert rows(data.truth) == [("a.wav", 1, 3, "Cat")]
    noted(data, "left out 3 true events after the end", f"{truth}, line 3")


def test_replay_tells_where_the_audio_is(tmp_path: Path, truth: Path, replayed: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(8000), 800)
    entries = ({"name": "a.wav", "path": str(path)}, {"name": "b.wav", "path": "/gone/b.wav"})
    write(replayed / "recordings.jsonl", *map(json.dumps, entries))
    assert read_replay(replayed, ground_truth=truth).audio == {"a.wav": path}


@pytest.mark.parametrize("name", ["durations.tsv", "events.tsv"])
def test_an_unfinished_replay(truth: Path, replayed: Path, name: str) -> None:
    (replayed / name).unlink()
    with pytest.raises(DataError, match=f"{name}: "):
        read_replay(replayed, ground_truth=truth)


def test_a_replay_says_what_ran(truth: Path, replayed: Path) -> None:
    assert read_replay(replayed, ground_truth=truth).evaluated == ""
    run = {
        "bundle": {"name": "domestic", "version": "7"},
        "postprocessing": {"Cat": {"enter": 0.4}, "Dog": {"enter": 0.75}},
    }
    write(replayed / "replay.json", json.dumps(run))
    data = read_replay(replayed, ground_truth=truth)
    assert data.evaluated == "bundle domestic, version 7"
    assert data.class_thresholds == {"Cat": 0.4, "Dog": 0.75}
    write(replayed / "replay.json", "{}")
    with pytest.raises(DataError, match=r"replay\.json: "):
        read_replay(replayed, ground_truth=truth)


def test_a_replay_without_messages(truth: Path, replayed: Path) -> None:
    (replayed / "messages.jsonl").unlink()
    data = read_replay(replayed, ground_truth=truth)
    assert data.decided is None
    noted(data, "the latency of messages is not known")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        message("onset", "a.wav", "Cat", 1.0, latency_ms=None),
        message("offset", "a.wav", "Cat", 9.0, 9.5, latency_ms=1),
    ],
)
def test_messages_that_cannot_be_used(truth: Path, replayed: Path, line: str) -> None:
    with (replayed / "messages.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"messages\.jsonl, line 6: "):
        read_replay(replayed, ground_truth=truth)
