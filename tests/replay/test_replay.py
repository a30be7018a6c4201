"""A replay's folder: the tables, going on, and what must not be mixed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import soundfile

from streamsed.errors import ConfigError
from streamsed.replay.group import replay_group
from streamsed.replay.job import Job
from streamsed.replay.recordings import find_recordings
from streamsed.replay.replay import Earlier, Progress, Replay, Summary, Work
from tests.bundles import SAMPLE_RATE, tones
from tests.encoded import encoded
from tests.replay.conftest import MakeJob, files_in


def here(job: Job, *, at_most: int = 10**6) -> Work:
    """Replay in this process, and stop after so many recordings."""
    return lambda waiting: (o for r in waiting[:at_most] for o in replay_group(job, [r]))


def run(
    job: Job, audio: Path, earlier: Earlier = Earlier.REFUSE, *, at_most: int = 10**6
) -> Summary:
    replay = Replay(job, find_recordings([audio]), earlier=earlier)
    seen: list[Progress] = []
    summary = replay.run(here(job, at_most=at_most), seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert [p.latest.name for p in seen if p.latest] == [r.name for r in replay.waiting[:at_most]]
    return summary


@pytest.fixture
def whole(make_job: MakeJob, audio: Path, tmp_path: Path) -> Path:
    """A replay that was never interrupted."""
    job = make_job(tmp_path / "whole")
    run(job, audio)
    return job.folder


@pytest.fixture
def sounds(audio: Path, tmp_path: Path) -> Path:
    """A copy of the recordings, to be changed."""
    return Path(shutil.copytree(audio, tmp_path / "sounds"))


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_tables_are_in_the_order_of_the_recordings(whole: Path, audio: Path) -> None:
    names = [recording.name for recording in find_recordings([audio])]
    head, *durations = rows(whole / "durations.tsv")
    assert head == ["filename", "duration"]
    assert [name for name, _ in durations] == names
    for name, duration in durations:
        assert float(duration) == pytest.approx(soundfile.info(audio / name).duration, abs=1e-4)
        score_file = (whole / "scores" / name).with_suffix(".tsv")
        assert rows(score_file)[-1][1] == duration
    head, *events = rows(whole / "events.tsv")
    assert head == ["filename", "onset", "offset", "event_label"]
    assert events == sorted(events, key=lambda e: (names.index(e[0]), float(e[1]), float(e[2])))
    messages = [json.loads(line) for line in (whole / "messages.jsonl").read_text().splitlines()]
    assert sorted({names.index(m["source"]) for m in messages}) == sorted(
        {names.index(e[0]) for e in events}
    )
    offsets = [m for m in messages if m["kind"] == "offset"]
    assert sorted(
        (m["source"], m["onset"]["seconds"], m["offset"]["seconds"], m["label"]) for m in offsets
    ) == sorted((f, float(on), float(off), label) for f, on, off, label in events)
    assert len(events) > 10
    assert not (whole / "failed.tsv").exists()
    described = json.loads((whole / "replay.json").read_text())
    assert described["schema"] == "streamsed.replay/1"
    assert described["classes"] == ["low", "mid", "high"]
    assert described["frame_s"] == 0.016


@pytest.mark.parametrize("done", [0, 1, 5, 8])
@pytest.mark.parametrize("torn", [b"", b'{"name": "0.wav", "pa', b'{"name":'])
def test_resuming_gives_what_one_run_gives(
    make_job: MakeJob, audio: Path, whole: Path, tmp_path: Path, done: int, torn: bytes
) -> None:
    job = make_job(tmp_path / "out")
    before = run(job, audio, at_most=done)
    assert before.complete == (done == 8)
    assert (job.folder / "events.tsv").exists() == before.complete
    with (job.folder / "recordings.jsonl").open("ab") as journal:
        journal.write(torn)
    after = run(job, audio, Earlier.RESUME)
    assert (after.complete, after.kept) == (True, done)
    assert files_in(job.folder) == files_in(whole)
    assert len((job.folder / "recordings.jsonl").read_bytes().splitlines()) == 8


def test_only_what_changed_or_failed_is_done_again(
    make_job: MakeJob, sounds: Path, tmp_path: Path
) -> None:
    (sounds / "late.wav").write_bytes(b"")
    job = make_job(tmp_path / "out")
    summary = run(job, sounds)
    assert [o.name for o in summary.totals.failures] == ["late.wav"]
    assert rows(job.folder / "failed.tsv") == [
        ["filename", "reason"],
        ["late.wav", "the file is empty (0 bytes)"],
    ]
    soundfile.write(sounds / "late.wav", tones([("low", 0.2, 0.6)], duration_s=1.0), SAMPLE_RATE)
    soundfile.write(sounds / "0.wav", tones([("high", 0.2, 0.6)], duration_s=1.0), SAMPLE_RATE)
    (sounds / "1.wav").unlink()  # not asked for any more
    (sounds / "4.wav").write_bytes(b"damaged since")
    (job.folder / "scores" / "5.tsv").unlink()
    summary = run(job, sounds, Earlier.RESUME)
    assert summary.kept == 4
    assert [o.name for o in summary.totals.failures] == ["4.wav"]
    anew = make_job(tmp_path / "anew")
    run(anew, sounds)
    assert files_in(job.folder) == files_in(anew.folder)


def test_an_earlier_replay_is_not_overwritten_unasked(
    make_job: MakeJob, audio: Path, whole: Path
) -> None:
    job = make_job(whole)
    before = files_in(whole)
    with pytest.raises(ConfigError, match=r"--resume .*--overwrite"):
        run(job, audio)
    assert files_in(whole) == before
    (whole / "mine.txt").write_text("kept")
    (whole / "scores" / "stale.tsv").write_text("dropped")
    summary = run(job, audio, Earlier.OVERWRITE)
    assert summary.kept == 0
    assert files_in(whole) == before | {"mine.txt": b"kept"}


@pytest.mark.parametrize("earlier", list(Earlier))
def test_what_others_made_is_left_alone(
    make_job: MakeJob, audio: Path, tmp_path: Path, earlier: Earlier
) -> None:
    (tmp_path / "out" / "scores").mkdir(parents=True)
    (tmp_path / "out" / "scores" / "a.tsv").write_text("somebody's")
    with pytest.raises(ConfigError, match="holds scores, which no replay wrote"):
        run(make_job(tmp_path / "out"), audio, earlier)
    assert files_in(tmp_path / "out") == {"scores/a.tsv": b"somebody's"}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"detect": {"classes": {"low": {"enter": 0.7}}}}, r"postprocessing\.low\.enter was 0\.6"),
        ({"detect": {"classes": {"mid": {"enabled": False}}}}, r"disabled was \[\]"),
        ({"detect": {"update_every_s": 1.0}}, r"update_every_s was 0\.0 and is now 1\.0"),
        ({"detect": {"fusion_weights": {"tones": 2.0}}}, r"fusion_weights\.tones was 1\.0"),
    ],
)
def test_results_of_different_settings_are_not_mixed(
    make_job: MakeJob, audio: Path, whole: Path, settings: dict[str, object], key: str
) -> None:
    before = files_in(whole)
    with pytest.raises(ConfigError, match=key):
        run(make_job(whole, **settings), audio, Earlier.RESUME)
    assert files_in(whole) == before


def test_a_journal_that_is_none(make_job: MakeJob, audio: Path, whole: Path) -> None:
    (whole / "recordings.jsonl").write_text("not JSON\n")
    with pytest.raises(ConfigError, match=r"recordings\.jsonl:1: "):
        run(make_job(whole), audio, Earlier.RESUME)
    (whole / "replay.json").write_text("{")
    with pytest.raises(ConfigError, match=r"replay\.json: cannot be read"):
        run(make_job(whole), audio, Earlier.RESUME)


def test_a_folder_that_cannot_be_made(make_job: MakeJob, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        run(make_job(tmp_path / "file" / "out"), audio)


def test_odd_files_of_a_folder_do_not_cost_the_others(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    sound = (audio / "0.wav").read_bytes()
    odd = [b"tab\there.wav", b"new\nline.wav", b"\xe9t\xe9.wav", "Küche\u202f1.wav".encode()]
    for name in (*odd, b"0001.wav", b"0001.mp3", b"0002.wav"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(sound)
    (folder / "gone.wav").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.wav")
    job = make_job(tmp_path / "out")
    for earlier, kept in ((Earlier.REFUSE, 0), (Earlier.RESUME, 5)):
        assert run(job, folder, earlier).kept == kept
        done = [
            r"tab\there.wav",
            r"new\nline.wav",
            r"\xe9t\xe9.wav",
            "Küche\u202f1.wav",
            "0002.wav",
        ]
        assert sorted(name for name, _ in rows(job.folder / "durations.tsv")[1:]) == sorted(done)
        reasons = dict(rows(job.folder / "failed.tsv")[1:])
        assert sorted(reasons) == ["0001.mp3", "0001.wav", "gone.wav", "pipe.wav"]
        assert "0001.wav would have the same files of results" in reasons["0001.mp3"]
    scores = {path.read_text() for path in (job.folder / "scores").iterdir()}
    assert len(scores) == 1


def test_forms_that_only_ffmpeg_decodes_are_replayed_alike(
    make_job: MakeJob, tmp_path: Path
) -> None:
    """What a recorder left without sizes gives the same as the whole file, and a remark."""
    folder = tmp_path / "in"
    folder.mkdir()
    whole = encoded("a.wav", "-ar", "16000", seconds=2.0)
    data = bytearray(whole.read_bytes())
    (folder / "whole.wav").write_bytes(data)
    place = data.index(b"data") + 4
    data[place : place + 4] = bytes(4)
    (folder / "dead.wav").write_bytes(data)
    (folder / "lossless.m4a").write_bytes(
        encoded("a.m4a", "-ar", "16000", "-c:a", "alac", seconds=2.0).read_bytes()
    )
    job = make_job(tmp_path / "out")
    assert not run(job, folder).totals.failures
    scores = {path.stem: path.read_text() for path in (job.folder / "scores").iterdir()}
    assert scores["dead"] == scores["whole"]
    assert {duration for _, duration in rows(job.folder / "durations.tsv")[1:]} == {"2"}
    lines = (job.folder / "recordings.jsonl").read_text().splitlines()
    remarks = {outcome["name"]: outcome["remark"] for outcome in map(json.loads, lines)}
    assert "its header claims 0 bytes" in remarks.pop("dead.wav")
    assert set(remarks.values()) == {None}
