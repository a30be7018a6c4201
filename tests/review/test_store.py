"""Reviews: stored, replaced, undone, by several processes, over kills and damage."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from streamsed.errors import ReviewError
from streamsed.review.review import Review, Verdict
from streamsed.review.store import LOCK_NAME, REVIEWS_NAME, ReviewStore

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 352_001, tzinfo=UTC)
SPAWN = multiprocessing.get_context("spawn")
LIMIT_S = 60


def review(verdict: Verdict = Verdict.RIGHT, *, event_id: UUID | None = None) -> Review:
    return Review(
        verdict=verdict,
        source="kitchen",
        label="Speech",
        detected=None if event_id is None else "Speech",
        event_id=event_id,
        begin=BEGIN,
        end=BEGIN + timedelta(seconds=1.856),
        clip="/clips/one.flac",
        reviewer="ana",
        reviewed=BEGIN + timedelta(days=1),
    )


def add_many(folder: Path, count: int) -> None:
    for _ in range(count):
        ReviewStore(folder).add(review(event_id=uuid4()))


def add_and_be_killed(folder: Path) -> None:
    """Die in the middle of a transaction, after the store committed one review."""
    ReviewStore(folder).add(review(event_id=uuid4()))
    connection = sqlite3.connect(folder / REVIEWS_NAME, isolation_level=None)
    connection.execute("PRAGMA cache_size=1")  # what is not committed goes to the file, too
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE reviews SET reviewer = hex(randomblob(50000))")
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_stored_comes_back_to_the_microsecond(tmp_path: Path) -> None:
    given = review(event_id=uuid4())
    number = ReviewStore(tmp_path).add(given)
    (found,) = ReviewStore(tmp_path).reviews()
    assert found.number == number
    for name in ("verdict", "event_id", "begin", "end", "clip", "reviewer", "reviewed"):
        assert getattr(found, name) == getattr(given, name)


def test_the_latest_review_of_an_event_counts_until_it_is_undone(tmp_path: Path) -> None:
    store, event_id = ReviewStore(tmp_path), uuid4()
    store.add(review(Verdict.RIGHT, event_id=event_id))
    store.add(review(Verdict.WRONG, event_id=event_id))
    assert [r.verdict for r in store.reviews()] == [Verdict.WRONG]
    undone = store.undo()
    assert undone is not None
    assert undone.verdict is Verdict.WRONG
    assert [r.verdict for r in store.reviews()] == [Verdict.RIGHT]
    store.undo()
    assert store.reviews() == []
    assert store.undo() is None


def test_each_missed_sound_counts(tmp_path: Path) -> None:
    store = ReviewStore(tmp_path)
    store.add(review(Verdict.MISSED))
    store.add(review(Verdict.MISSED))
    assert len(store.reviews()) == 2


def test_a_review_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    given = review()
    with pytest.raises(ReviewError, match="is not after the begin"):
        ReviewStore(tmp_path).add(
            Review(
                verdict=Verdict.MISSED,
                source="kitchen",
                label="Speech",
                detected=None,
                event_id=None,
                begin=given.end,
                end=given.begin,
                clip=None,
                reviewer="ana",
                reviewed=given.reviewed,
            )
        )
    assert ReviewStore(tmp_path).reviews() == []


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    processes = [SPAWN.Process(target=add_many, args=(tmp_path, 40)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_S)
        assert process.exitcode == 0
    numbers = [r.number for r in ReviewStore(tmp_path).reviews()]
    assert sorted(numbers) == list(range(1, 81))


def test_a_killed_process_leaves_what_was_committed(tmp_path: Path) -> None:
    process = SPAWN.Process(target=add_and_be_killed, args=(tmp_path,))
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == -signal.SIGKILL
    (found,) = ReviewStore(tmp_path).reviews()
    assert found.reviewer == "ana"
    ReviewStore(tmp_path).add(review(event_id=uuid4()))
    assert len(ReviewStore(tmp_path).reviews()) == 2


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / REVIEWS_NAME
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    store = ReviewStore(tmp_path)
    store.add(review(event_id=uuid4()))
    assert len(store.reviews()) == 1
    (aside,) = tmp_path.glob(f"{REVIEWS_NAME}.*.broken")
    assert aside.read_bytes().startswith(b"no database")


def waits_for_a_lock(process_id: int) -> bool:
    """Whether a process is blocked in ``flock``, by the kernel's own list."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any("-> FLOCK" in line and f" {process_id} " in line for line in lines)


def test_a_file_that_another_process_renewed_is_not_set_aside(tmp_path: Path) -> None:
    path, other = tmp_path / REVIEWS_NAME, tmp_path / "other"
    path.write_bytes(b"no database at all" * 500)
    ReviewStore(other).add(review(event_id=uuid4()))
    process = SPAWN.Process(target=add_many, args=(tmp_path, 1))
    with (tmp_path / LOCK_NAME).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process.start()
        limit = time.monotonic() + LIMIT_S
        while not waits_for_a_lock(process.pid or 0):  # it found the damage
            assert process.exitcode is None, "it did not wait for the lock"
            assert time.monotonic() < limit
            process.join(0.05)
        (other / REVIEWS_NAME).rename(path)
    process.join(LIMIT_S)
    assert process.exitcode == 0
    assert len(ReviewStore(tmp_path).reviews()) == 2
    assert list(tmp_path.glob("*.broken")) == []


def test_content_that_is_no_review_is_set_aside(tmp_path: Path) -> None:
    store = ReviewStore(tmp_path)
    store.add(review(event_id=uuid4()))
    with sqlite3.connect(tmp_path / REVIEWS_NAME) as connection:
        connection.execute("UPDATE reviews SET verdict = 'perhaps'")
    assert store.reviews() == []
    assert len(list(tmp_path.glob(f"{REVIEWS_NAME}.*.broken"))) == 1


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / REVIEWS_NAME) as connection:
        connection.execute("PRAGMA user_version=7")
    with pytest.raises(ReviewError, match="move it away"):
        ReviewStore(tmp_path).reviews()
    assert [path.name for path in tmp_path.iterdir()] == [REVIEWS_NAME]


def test_a_folder_that_cannot_be_used_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ReviewError, match="cannot be used"):
        ReviewStore(tmp_path / "file").reviews()
