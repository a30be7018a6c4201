"""``streamsed events``: the history, from a journal in use and from one at rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from streamsed.detect.events import Kind
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.sequencer import Sequencer
from tests.cli.command import execute
from tests.publish.journals import STARTED, event, opened, status


@pytest.fixture
def sequencer(state_of_its_own: Path) -> Iterator[Sequencer]:
    """A journal in use: three events, one of which goes on, half an hour apart."""
    made = opened(state_of_its_own)
    for number, (source, label) in enumerate(
        [("kitchen", "Dog"), ("hall", "Dog"), ("kitchen", "Cat")]
    ):
        begin, event_id = 1800.0 * number, uuid4()
        settings = {"source": source, "label": label, "onset_s": begin, "offset_s": begin + 1.25}
        made.record([event(Kind.ONSET, event_id, **settings), status()])  # type: ignore[arg-type]
        if number < 2:
            made.record([event(Kind.OFFSET, event_id, **settings)])  # type: ignore[arg-type]
    yield made
    made.close()


def rows(*arguments: str | Path) -> list[list[str]]:
    done = execute("events", *arguments)
    assert done.returncode == 0, done.stderr
    return [re.split(r" {2,}", line) for line in done.stdout.splitlines()]


def labels(*arguments: str | Path) -> list[str]:
    return [row[3] for row in rows(*arguments)[1:]]


def local(minutes: float) -> str:
    return (STARTED + timedelta(minutes=minutes)).isoformat()


def test_one_line_an_event(sequencer: Sequencer) -> None:
    head, first, second, third = rows()
    assert head == ["onset", "offset", "source", "class", "duration", "peak", "reason"]
    assert first[2:] == ["kitchen", "Dog", "1.250 s", "0.90", "silence"]
    assert second[2:4] == ["hall", "Dog"]
    assert [third[1], *third[2:]] == ["-", "kitchen", "Cat", "-", "0.90", "goes on"]
    assert all(re.fullmatch(r"[\d-]{10} [\d:]{8}\.\d{3}", row[0]) for row in (first, second, third))


def test_it_is_the_same_once_the_daemon_has_gone(sequencer: Sequencer) -> None:
    in_use = rows()
    sequencer.close()
    assert rows() == in_use


def test_what_is_chosen(sequencer: Sequencer) -> None:
    assert labels("--source", "kitchen") == ["Dog", "Cat"]
    assert labels("--source", "hall", "--source", "kitchen") == ["Dog", "Dog", "Cat"]
    assert labels("--label", "Cat") == ["Cat"]
    assert labels("--source", "hall", "--label", "Dog") == ["Dog"]
    assert labels("--since", local(20)) == ["Dog", "Cat"]
    assert labels("--since", local(20), "--until", local(60)) == ["Dog"]
    assert labels("--until", "1s", "--limit", "0") == ["Dog", "Dog", "Cat"]


def test_the_newest_at_most(sequencer: Sequencer) -> None:
    done = execute("events", "--limit", "2", "--json")
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["Dog", "Cat"]
    assert done.stderr == "streamsed: the newest 2; there are more (--limit 0: all)\n"
    assert execute("events", "--limit", "3").stderr == ""


def test_json_is_the_latest_message_of_each(sequencer: Sequencer) -> None:
    found = [json.loads(line) for line in execute("events", "--json").stdout.splitlines()]
    assert [(m["kind"], m["seq"]) for m in found] == [("offset", 3), ("offset", 6), ("onset", 7)]


def test_nothing_found_is_no_error(sequencer: Sequencer) -> None:
    done = execute("events", "--source", "cellar")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("streamsed: no such event: the journal has no source 'cellar'; ")
    done = execute("events", "--label", "dog")
    assert "no class 'dog'; did you mean 'Dog'? known: " in done.stderr
    done = execute("events", "--since", "0s")
    assert done.stderr == "streamsed: no such event\n"


def test_the_configuration_says_where(sequencer: Sequencer, tmp_path: Path) -> None:
    sequencer.close()
    elsewhere = tmp_path / "elsewhere"
    sequencer.path.parent.rename(elsewhere)
    config = tmp_path / "c.yaml"
    config.write_text(f"journal: {{path: {elsewhere}}}", encoding="utf-8")
    assert labels("-c", config) == labels("--journal", elsewhere) == ["Dog", "Dog", "Cat"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no journal; name its folder with --journal"),
        (b"no database, but long enough to be one" * 100, "cannot be read: file is not a database"),
        (b"", "cannot be read: no journal of version 2"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / JOURNAL_NAME
    if content is not None:
        path.write_bytes(content)
    done = execute("events", "--journal", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"streamsed: {path}: ")
    assert expected in line


@pytest.mark.parametrize("when", ["yesterday", "1y", "", "2026-13-01", "99999999999w"])
def test_a_time_that_is_none_is_one_line(sequencer: Sequencer, when: str) -> None:
    done = execute("events", "--since", when)
    if when:
        assert done.returncode == 2
        assert when in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_who_may_only_read_can_read_a_journal_at_rest(sequencer: Sequencer) -> None:
    """As somebody who may write neither the file nor its folder."""
    sequencer.close()
    with tempfile.TemporaryDirectory() as name:  # the test's own folder is for its user alone
        folder = Path(name)
        shutil.copy(sequencer.path, folder)
        folder.chmod(0o555)
        (folder / JOURNAL_NAME).chmod(0o444)
        script = f"""
import os
from pathlib import Path
from streamsed.publish.history import history
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(len(history(Path({name!r}))))
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        folder.chmod(0o700)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_clock_before_1970(sequencer: Sequencer) -> None:
    """As a board has that counts from a wrong day until it has found a time server."""
    long_ago = {"label": "Alarm", "onset_s": -2e9, "offset_s": -2e9 + 1}
    sequencer.record([event(Kind.ONSET, old := uuid4(), **long_ago)])  # type: ignore[arg-type]
    sequencer.record([event(Kind.OFFSET, old, **long_ago)])  # type: ignore[arg-type]
    found = rows()
    assert [row[3] for row in found[1:]] == ["Alarm", "Dog", "Dog", "Cat"]
    assert found[1][0].startswith("1962-08-")
    assert labels("--since", "1960-01-01", "--until", "1970-01-01") == ["Alarm"]
    assert labels("--since", "36500d", "--limit", "0") == ["Alarm", "Dog", "Dog", "Cat"]
