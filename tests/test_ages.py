"""Age by what has passed, whatever the clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from streamsed import ages as ages_module
from streamsed.ages import STEP_US, WAIT_US, Ages, Reading
from streamsed.clips.folder import ClipFolder, clip_name
from streamsed.detect.events import Kind
from streamsed.publish import archive
from streamsed.publish.journal import Retention
from streamsed.publish.sequencer import Sequencer
from tests.publish.journals import event, journaled

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000


class Machine:
    """Both clocks of a machine, which the test sets, starts anew and lets run."""

    def __init__(self, wall_us: int = 1_700_000_000 * SECOND) -> None:
        self.wall_us = wall_us
        self.running_us = 5 * MINUTE
        self.boots = 0

    def __call__(self) -> Reading:
        return Reading(self.wall_us, self.running_us, f"boot {self.boots}")

    def run(self, span_us: int) -> None:
        self.wall_us += span_us
        self.running_us += span_us

    def restart(self, *, off_us: int, clock_loses_us: int = 0) -> None:
        self.boots += 1
        self.running_us = MINUTE
        self.wall_us += off_us - clock_loses_us


def begun(machine: Machine, path: Path | None = None) -> Ages:
    ages = Ages(path, read=machine)
    ages.open()
    return ages


def test_without_a_step_it_is_what_the_clock_says() -> None:
    machine = Machine()
    stamp = machine.wall_us
    ages = begun(machine)
    for _ in range(100):
        machine.run(DAY)
        ages.observe()
    assert ages.age_us(stamp) == 100 * DAY
    assert ages.age_us(stamp - 10 * DAY) == 110 * DAY, "from before there was a record"
    assert ages.age_us(machine.wall_us + DAY) == 0
    assert not ages.waits


def test_a_clock_that_is_set_makes_nothing_older_and_is_logged() -> None:
    machine = Machine()
    ages = begun(machine)
    machine.run(MINUTE)
    ages.observe()
    before = machine.wall_us
    for moved_us in (45 * DAY, -90 * DAY, 45 * DAY):
        machine.wall_us += moved_us
        machine.run(SECOND)
        with structlog.testing.capture_logs() as logged:
            ages.observe()
        assert [(e["event"], e["seconds"]) for e in logged] == [
            ("clock_stepped", moved_us / SECOND)
        ]
        assert ages.waits
    assert 0 <= ages.age_us(before) <= 3 * SECOND
    machine.run(WAIT_US)
    ages.observe()
    assert not ages.waits


def test_adjustment_after_a_step_back_makes_nothing_old() -> None:
    """A microsecond of it, and a stamp would fit the time before the step just as well."""
    for adjusted_us in (1, -1):
        machine = Machine()
        ages = begun(machine)
        machine.wall_us -= 45 * DAY
        ages.observe()
        machine.wall_us += adjusted_us
        stamp = machine.wall_us
        machine.run(WAIT_US)
        ages.observe()
        assert ages.age_us(stamp) <= WAIT_US + abs(adjusted_us)


def test_what_is_stamped_between_a_step_and_the_next_look_is_young() -> None:
    machine = Machine()
    ages = begun(machine)
    machine.wall_us += 45 * DAY
    stamp = machine.wall_us
    machine.run(5 * MINUTE)
    ages.observe()
    assert 0 <= ages.age_us(stamp) <= 5 * MINUTE


def test_over_a_restart_of_the_process_time_goes_on(tmp_path: Path) -> None:
    machine = Machine()
    ages = begun(machine, tmp_path / "clock")
    stamp = machine.wall_us
    ages.save()
    machine.run(3 * DAY)
    machine.wall_us += 45 * DAY
    with structlog.testing.capture_logs() as logged:
        ages = begun(machine, tmp_path / "clock")
    assert [entry["event"] for entry in logged] == ["clock_stepped"]
    assert ages.age_us(stamp) == 3 * DAY


def test_a_machine_that_was_off_is_believed_after_a_while(tmp_path: Path) -> None:
    machine = Machine()
    ages = begun(machine, tmp_path / "clock")
    stamp = machine.wall_us
    machine.restart(off_us=20 * DAY)
    ages = begun(machine, tmp_path / "clock")
    during = machine.wall_us
    assert ages.age_us(stamp) < DAY
    assert ages.waits
    machine.run(WAIT_US + SECOND)
    ages.observe()
    ages.observe()
    assert abs(ages.age_us(stamp) - 20 * DAY) < WAIT_US + MINUTE
    assert abs(ages.age_us(during) - WAIT_US - SECOND) < SECOND


def test_a_board_without_a_battery(tmp_path: Path) -> None:
    """Each start begins with the clock where it was made; then a time server is found."""
    machine = Machine(wall_us=1_600_000_000 * SECOND)
    stamps = []
    for off_us in (DAY, 0, 40 * DAY):
        ages = begun(machine, tmp_path / "clock")
        stamps.append(machine.wall_us)
        machine.run(MINUTE)
        ages.observe()
        machine.wall_us += 100 * DAY
        machine.run(WAIT_US + MINUTE)
        for _ in range(2):
            ages.observe()
        stamps.append(machine.wall_us)
        assert all(ages.age_us(stamp) < DAY for stamp in stamps)
        ages.save()
        machine.restart(off_us=off_us, clock_loses_us=off_us + 100 * DAY + 2 * MINUTE + WAIT_US)


def test_a_record_that_is_damaged_is_begun_anew(tmp_path: Path) -> None:
    path, machine = tmp_path / "clock", Machine()
    for content in (b"", b"\0" * 100, b'{"passed_us": 1}', b"[]"):
        path.write_bytes(content)
        with structlog.testing.capture_logs() as logged:
            ages = begun(machine, path)
        assert logged[0]["event"] == "clock_record_unreadable"
        assert "\n" not in logged[0]["reason"]
        assert ages.age_us(machine.wall_us) == 0
        with structlog.testing.capture_logs() as logged:
            begun(machine, path)
        assert logged == []
    begun(machine, path / "in no folder").save()  # known here, if nowhere else


def test_clips_outlive_a_clock_that_is_set_on(tmp_path: Path) -> None:
    machine = Machine()

    def recorded() -> Path:
        utc = datetime.fromtimestamp(machine.wall_us / 1e6, UTC)
        return tmp_path / clip_name(utc=utc, source="a", label="Dog", event_id=uuid4())

    folder = ClipFolder(tmp_path, keep=timedelta(days=30), max_bytes=2500, ages=Ages(read=machine))
    folder.open()
    for moved_us in (0, 45 * DAY, -80 * DAY):
        machine.wall_us += moved_us
        machine.run(MINUTE)
        new = recorded()
        new.with_name(new.name + ".part").write_bytes(bytes(1000))
        folder.add(new.with_name(new.name + ".part"))
        folder.prune()
        machine.run(2 * WAIT_US)
        folder.prune()
    left = sorted(path.name[:8] for path in tmp_path.iterdir())
    assert left == ["20231010", "20231229"], "the oldest goes for its size, whatever its name"
    machine.run(31 * DAY)
    folder.prune()
    assert not list(tmp_path.iterdir()), "and when time has passed, for its age"


def test_the_journal_outlives_a_clock_that_is_set_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, ahead_us = ages_module.read_clocks, [0]
    monkeypatch.setattr(archive, "_TIDY_S", 0.0)

    def read() -> Reading:
        now = real()
        return Reading(now.wall_us + ahead_us[0], now.running_us, now.boot)

    monkeypatch.setattr(archive, "Ages", partial(Ages, read=read))
    sequencer = Sequencer(tmp_path, retention=Retention.of(keep_days=30.0, max_mb=100.0))
    sequencer.open()
    kept = [entry.seq for entry in sequencer.record([event(Kind.ONSET)] * 10)]
    for ahead_us[0] in (0, 45 * DAY, -45 * DAY, 90 * DAY):
        sequencer.tidy()
        sequencer.tidy()
        assert list(journaled(tmp_path)) == kept
    sequencer.close()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "set", "process", "machine"]),
            st.integers(0, 60 * DAY),
            st.integers(-100 * DAY, 100 * DAY),
        ),
        max_size=12,
    )
)
def test_nothing_is_taken_for_older_than_it_is(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Unless the machine was off for an unknown time, and its clock was then wrong unnoticed."""
    machine, passed_us = Machine(), 0
    path = tmp_path_factory.mktemp("ages") / "clock"
    ages = begun(machine, path)
    stamps: list[tuple[int, int]] = []
    for kind, span_us, moved_us in steps:
        stamps.append((machine.wall_us, passed_us))
        match kind:
            case "run":
                machine.run(span_us)
                passed_us += span_us
            case "set":
                machine.wall_us += moved_us
            case "process":
                ages.save()
                machine.run(span_us)
                passed_us += span_us
                ages = begun(machine, path)
            case "machine":
                ages.save()
                machine.restart(off_us=span_us, clock_loses_us=0)
                passed_us += span_us
                ages = begun(machine, path)
        ages.observe()
        for stamp, at_us in stamps:
            assert ages.age_us(stamp) <= passed_us - at_us + 2 * STEP_US
        assert len(ages._record.steps) <= ages_module._MOST_STEPS
