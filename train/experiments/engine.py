"""Runs a plan: what is done is reused, what a change reaches is redone, what was stopped goes on.

Every step has a folder ``STEP/KEY`` below the plan's. The key is a digest of what decides the
step's result: its kind, its options, and the content of all it needs. So a step that is changed,
or one whose needs are, finds another folder, and what was made before stays and is found again
when the change is undone. ``step.json`` records that a step is done, and what it yielded.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from streamsed.errors import ConfigError
from train.experiments.artefact import Digests
from train.experiments.page import Results
from train.experiments.plan import INPUTS, Plan, split
from train.experiments.step import Machine, Place
from train.experiments.workers import InProcess, Outcome, Task, Workers
from train.layering import signature
from train.writing import replacing, writing

DONE = "step.json"


class State(StrEnum):
    """How far a step is."""

    DONE = "done"
    BEGUN = "begun"
    READY = "to do"
    WAITS = "waits"
    GIVEN = "given"


@dataclass(frozen=True)
class Status:
    """How far a step is, and where.

    Attributes:
        state: whether it is done.
        folder: its own; None while it is not known, for what it needs is not made.
    """

    state: State
    folder: Path | None = None


@dataclass
class Engine:
    """Runs the steps of a plan.

    Args:
        plan: what.
        name: of the plan, for its page.
        folder: below which steps have theirs.
        given: inputs, by name; one of a step's name stands in for the step.
        machine: what steps are computed with.

    Raises:
        ConfigError: an input is missing.
    """

    plan: Plan
    name: str
    folder: Path
    given: Mapping[str, Path]
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        for name, path in self.given.items():
            if not path.is_dir():
                raise ConfigError(f"--{name}: {path}: no such folder")
        for name in self.plan.inputs(self.given):
            if name not in self.given:
                instead = [of for of in INPUTS if of in self.plan.steps and of not in self.given]
                other = f", or --{instead[0]}, in place of what is made of it" if instead else ""
                raise ConfigError(f"{self.name}: needs --{name}, a folder{other}")
        self._digests = Digests(self.folder / "digests.json")
        self._done: dict[str, Status] = {}

    def status(self) -> dict[str, Status]:
        """Return how far every step is; nothing is run."""
        return {name: self._status(name) for name in self.plan.order().static_order()}

    def run(
        self,
        *,
        jobs: int,
        report: Callable[[Outcome, int, int], None],
        begun: Callable[[str, Path], None] = lambda *_: None,
    ) -> list[Outcome]:
        """Run all that is not done, ``jobs`` steps at a time.

        Of steps that can be run, the one that stands first in the plan goes first. What does not
        need a step that failed is run all the same, unless the disk is full.

        Args:
            jobs: processes; 1 runs steps in this one.
            report: called with each step that ended, how many are done, and of how many.
            begun: called with each step that begins, and its folder.

        Returns:
            What was not done: steps that failed or were stopped.
        """
        order, undone = self.plan.order(), {}
        order.prepare()
        total, done, ready = len(self.plan.steps), 0, list[str]()
        place = {name: index for index, name in enumerate(self.plan.steps)}
        workers = Workers(jobs) if jobs > 1 else InProcess()
        with self._alone(), workers:
            while order.is_active():
                for name in (found := order.get_ready()):
                    if any(before in undone for before in self.plan.before(name)):
                        undone[name] = Outcome(name, needs_other=True)
                        order.done(name)
                    elif self._status(name).state in (State.DONE, State.GIVEN):
                        done += 1
                        order.done(name)
                    else:
                        ready.append(name)
                if not set(found) <= set(ready):
                    continue  # what was there already makes others ready, which may stand first
                ready.sort(key=place.__getitem__)
                while ready and workers.idle:
                    task = self._task(ready.pop(0))
                    begun(task.name, task.place.folder)
                    workers.start(task)
                if not workers.busy:
                    continue
                outcome = workers.wait()
                if outcome.done:
                    done += 1
                    self._note(outcome)
                else:
                    undone[outcome.name] = outcome
                report(outcome, done, total)
                if outcome.ends_all:
                    break
                order.done(outcome.name)
        self._digests.save()
        return list(undone.values())

    def results(self) -> Results:
        """Return what was yielded so far."""
        folders, paths = {}, dict(self.given)
        for name, status in self.status().items():
            if status.state is State.DONE and status.folder is not None:
                folders[name] = status.folder
                for output in [None, *self.plan.steps[name].yields()]:
                    reference = name if output is None else f"{name}/{output}"
                    path = self._path(reference)
                    assert path is not None
                    paths[reference] = path
        return Results(self.plan.title, self.plan.about, self.name, self.plan.steps, folders, paths)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from running this plan in this folder; a kill frees it."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.folder}: another process runs this plan; end it, or choose other --runs"
                ) from None
            yield

    def _status(self, name: str) -> Status:
        if name not in self._done:
            status = self._look(name)
            if status.state not in (State.DONE, State.GIVEN):
                return status
            self._done[name] = status
        return self._done[name]

    def _look(self, name: str) -> Status:
        if name in self.given:
            return Status(State.GIVEN)
        folder = self._folder(name)
        if folder is None:
            return Status(State.WAITS)
        if not (folder / DONE).exists():
            return Status(State.BEGUN if folder.exists() else State.READY, folder)
        files = (folder / artefact.path for artefact in self.plan.steps[name].yields().values())
        if not all(file.exists() for file in files):
            return Status(State.READY, folder)  # somebody took away what it yielded
        return Status(State.DONE, folder)

    def _folder(self, name: str) -> Path | None:
        """Return a step's folder; None while what it needs is not there."""
        step, needs = self.plan.steps[name], {}
        for key, need in step.needs().items():
            path = self._path(need.of)
            digest = None if path is None else self._digests.of(path)
            if digest is None:
                return None
            needs[key] = digest
        whole = {"kind": step.kind, "says": step.identity(), "needs": needs}
        return self.folder / name / signature(whole)

    def _path(self, reference: str) -> Path | None:
        """Return where an artefact is; None if it is not made."""
        name, output = split(reference)
        if name in self.given or name not in self.plan.steps:
            return self.given.get(name)
        status = self._status(name)
        if status.state is not State.DONE or status.folder is None:
            return None
        yields = self.plan.steps[name].yields()
        return status.folder / (yields[output] if output else next(iter(yields.values()))).path

    def _task(self, name: str) -> Task:
        step, folder = self.plan.steps[name], self._folder(name)
        assert folder is not None
        if (folder / DONE).exists():
            shutil.rmtree(folder)  # what it yielded is not whole
        needs = {}
        for key, need in step.needs().items():
            path = self._path(need.of)
            assert path is not None
            needs[key] = path
        return Task(name, step, Place(folder, needs, self.machine))

    def _note(self, outcome: Outcome) -> None:
        folder = self._folder(outcome.name)
        assert folder is not None
        yields = {
            output: [artefact.kind, str(artefact.path), self._digests.of(folder / artefact.path)]
            for output, artefact in self.plan.steps[outcome.name].yields().items()
        }
        with replacing(folder / DONE) as part:
            part.write_text(json.dumps({"step": outcome.name, "yields": yields}, indent=1))
        self._digests.save()
