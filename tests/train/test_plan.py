"""Plans: what their files say, what is done anew when something changes, and what a stop leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from streamsed.errors import ConfigError, DataError
from tests.train.file_size import file_size_limit
from tests.train.tone_set import write_tone_set
from train.experiments.artefact import Artefact, Digests
from train.experiments.engine import Engine, State
from train.experiments.plan import Plan, load_plan
from train.experiments.step import Need, Place, Step
from train.experiments.workers import Outcome
from train.layering import laid_over
from train.places import find, name_of, names
from train.writing import DiskFull


@dataclass(frozen=True, kw_only=True)
class Text(Step):
    """Writes what it needs and a word more; ``fail``, ``stop`` and ``full`` do not."""

    word: str
    of: tuple[str, ...] = ()
    data: str | None = None
    title: str = ""
    captions = ("title", "of", "data")
    kind: Literal["text"] = "text"

    def needs(self) -> Mapping[str, Need]:
        needs = {f"of.{name}": Need("labels", name) for name in self.of}
        return needs if self.data is None else {**needs, "data": Need("data", self.data)}

    def yields(self) -> Mapping[str, Artefact]:
        return {"text": Artefact("labels", Path("text.tsv"))}

    def run(self, at: Place) -> bool:
        if self.word == "fail":
            raise DataError("it went wrong")
        if self.word == "full":
            raise DiskFull("no space")
        if self.word == "die":
            raise SystemExit(3)
        if self.word == "stop":
            return False
        texts = [path for path in at.needs.values() if path.is_file()]
        (at.folder / "text.tsv").write_text("".join(p.read_text() for p in texts) + self.word)
        return True


def diamond(**words: str) -> Plan:
    word = {name: words.get(name, name) for name in "abcd"}
    steps = {
        "d": Text(word=word["d"], of=("b", "c")),
        "b": Text(word=word["b"], of=("a",)),
        "c": Text(word=word["c"], of=("a",)),
        "a": Text(word=word["a"], data="data"),
    }
    return Plan("T", "A", steps)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "labels.tsv").write_text("one")
    return folder


def run(plan: Plan, folder: Path, data: Path, *, jobs: int = 1) -> tuple[list[str], list[Outcome]]:
    """Return which steps were run, in order, and what was not done."""
    ended: list[str] = []
    engine = Engine(plan, "plan", folder / "runs", {"data": data})
    undone = engine.run(jobs=jobs, report=lambda outcome, *_: ended.append(outcome.name))
    return ended, undone


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_step_is_run_once_after_what_it_needs(tmp_path: Path, data: Path, jobs: int) -> None:
    ended, undone = run(diamond(), tmp_path, data, jobs=jobs)
    assert not undone
    assert (ended[0], set(ended[1:3]), ended[3]) == ("a", {"b", "c"}, "d")
    engine = Engine(diamond(), "plan", tmp_path / "runs", {"data": data})
    assert engine.results().paths["d"].read_text() == "abacd"
    assert run(diamond(), tmp_path, data, jobs=jobs) == ([], [])


def test_of_steps_that_can_be_run_the_first_in_the_plan_is_next(tmp_path: Path, data: Path) -> None:
    steps = {
        "one": Text(word="1", data="data"),
        "of one": Text(word="2", of=("one",)),
        "of that": Text(word="3", of=("of one",)),
        "alone": Text(word="4", data="data"),
    }
    assert run(Plan("T", "A", steps), tmp_path, data)[0] == list(steps)
    changed = {**steps, "of that": Text(word="5", of=("of one",)), "alone": Text(word="6")}
    assert run(Plan("T", "A", changed), tmp_path, data)[0] == ["of that", "alone"]


def test_only_what_a_change_reaches_is_done_anew(tmp_path: Path, data: Path) -> None:
    run(diamond(), tmp_path, data)
    assert run(diamond(b="B"), tmp_path, data)[0] == ["b", "d"]
    assert run(diamond(), tmp_path, data)[0] == [], "what was there before is there still"
    (data / "labels.tsv").write_text("two")
    changed, _ = run(diamond(), tmp_path, data)
    assert changed == ["a"], "what a yields is the same, so nothing else is reached"
    (data / "labels.tsv").touch()
    (data / "dataset.json").write_text("{}")
    assert run(diamond(), tmp_path, data)[0] == []
    captioned = {**diamond().steps, "b": Text(word="b", of=("a",), title="another")}
    assert run(Plan("T", "A", captioned), tmp_path, data)[0] == []


def test_what_was_taken_away_is_made_anew(tmp_path: Path, data: Path) -> None:
    run(diamond(), tmp_path, data)
    engine = Engine(diamond(), "plan", tmp_path / "runs", {"data": data})
    engine.results().paths["b"].unlink()
    assert run(diamond(), tmp_path, data)[0] == ["b"]


def test_an_output_that_was_edited_reaches_what_needs_it(tmp_path: Path, data: Path) -> None:
    run(diamond(), tmp_path, data)
    engine = Engine(diamond(), "plan", tmp_path / "runs", {"data": data})
    engine.results().paths["a"].write_text("by hand")
    assert set(run(diamond(), tmp_path, data)[0]) == {"b", "c", "d"}


def test_a_step_that_fails_ends_no_other(tmp_path: Path, data: Path) -> None:
    ended, undone = run(diamond(b="fail"), tmp_path, data)
    assert set(ended) == {"a", "b", "c"}
    assert {outcome.name: outcome.failure for outcome in undone} == {
        "b": "it went wrong",
        "d": None,
    }
    assert run(diamond(), tmp_path, data)[0] == ["b", "d"]
    assert not run(diamond(), tmp_path, data)[1]


@pytest.mark.parametrize("word", ["stop", "full"])
def test_a_stop_or_a_full_disk_ends_all_and_the_rest_goes_on(
    tmp_path: Path, data: Path, word: str
) -> None:
    ended, undone = run(diamond(a=word), tmp_path, data)
    assert ended == ["a"]
    assert [outcome.ends_all for outcome in undone] == [True]
    assert run(diamond(), tmp_path, data)[0][0] == "a"


def test_digests_that_a_full_disk_does_not_take_are_computed_anew(
    tmp_path: Path, data: Path
) -> None:
    digests = Digests(tmp_path / "digests.json")
    found = digests.of(data)
    with file_size_limit(10):
        digests.save()
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert Digests(tmp_path / "digests.json").of(data) == found


def test_a_process_that_dies_is_named(tmp_path: Path, data: Path) -> None:
    _, undone = run(diamond(b="die"), tmp_path, data, jobs=2)
    failure = {outcome.name: outcome.failure for outcome in undone}["b"]
    assert failure is not None
    assert "ended with 3" in failure
    assert "step.log" in failure


def test_status_runs_nothing(tmp_path: Path, data: Path) -> None:
    engine = Engine(diamond(), "plan", tmp_path / "runs", {"data": data})
    states = {name: status.state for name, status in engine.status().items()}
    assert states == {"a": State.READY, "b": State.WAITS, "c": State.WAITS, "d": State.WAITS}
    assert not (tmp_path / "runs").exists()
    run(diamond(b="fail"), tmp_path, data)
    engine = Engine(diamond(b="fail"), "plan", tmp_path / "runs", {"data": data})
    states = {name: status.state for name, status in engine.status().items()}
    assert states == {
        "a": State.DONE,
        "b": State.BEGUN,
        "c": State.DONE,
        "d": State.WAITS,
    }


def test_what_is_given_stands_in_for_a_step(tmp_path: Path, data: Path) -> None:
    steps = {**diamond().steps, "data": Text(word="data", data="bank")}
    engine = Engine(Plan("T", "A", steps), "plan", tmp_path / "runs", {"data": data})
    assert engine.status()["data"].state is State.GIVEN
    with pytest.raises(ConfigError, match=r"needs --bank, a folder, or --data"):
        Engine(Plan("T", "A", steps), "plan", tmp_path / "runs", {})
    with pytest.raises(ConfigError, match="no such folder"):
        Engine(Plan("T", "A", steps), "plan", tmp_path / "runs", {"data": tmp_path / "no"})


def test_digests_are_of_content(tmp_path: Path) -> None:
    def digest(path: Path) -> str | None:
        digests = Digests(tmp_path / "digests.json")
        found = digests.of(path)
        digests.save()
        return found

    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.tsv").write_text("x")
    first = digest(folder)
    (folder / "a.tsv").write_text("y")
    assert digest(folder) != first
    (folder / "a.tsv").write_text("x")
    assert digest(folder) == first
    (folder / "a.tsv").rename(folder / "b.tsv")
    assert digest(folder) != first
    assert digest(tmp_path / "none") is None
    (tmp_path / "digests.json").write_text('{"cut')
    assert digest(folder)


PLAN = """
title: T
about: A
steps:
  sed-{seed}: {kind: fit, matrix: {seed: [1, 2]}, recipe: mean-teacher, seed: "{seed}"}
  sed-{seed}-{network}:
    {kind: score, matrix: {seed: [1, 2], network: [student, teacher]},
     checkpoint: "sed-{seed}/{network}"}
"""


def loaded(folder: Path, text: str) -> Plan:
    file = folder / "plan.yaml"
    file.write_text(text)
    return load_plan(file)


def test_a_matrix_makes_a_step_of_every_combination(tmp_path: Path) -> None:
    plan = loaded(tmp_path, PLAN)
    assert len(plan.steps) == 6
    assert [plan.steps[f"sed-{seed}"].seed for seed in (1, 2)] == [1, 2]
    assert plan.before("sed-2-teacher") == ["sed-2"]
    assert plan.inputs() == ["data"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("sed-{seed}/{network}", "sad-{seed}/{network}"), "did you mean 'sed-1'"),
        (("sed-{seed}/{network}", "sed-{seed}/pupil"), "yields no 'pupil'; known: best, student"),
        (("sed-{seed}/{network}", "data"), "is of kind data, not checkpoint"),
        (("sed-{seed}-{network}:", "sed-{network}:"), "two steps are named sed-student"),
        (("kind: fit", "kind: fitt"), "unknown kind 'fitt'; did you mean 'fit'"),
        (("recipe: mean-teacher", "recipe: mean-techer"), "did you mean 'mean-teacher'"),
        (('seed: "{seed}"}', "changes: {epoch: 1}}"), "epoch"),
        (('seed: "{seed}"}', "sead: 1}"), "sead"),
        (("title: T", "titel: T"), "title"),
        (("kind: fit,", "template: none,"), "unknown 'none'"),
    ],
)
def test_mistakes_of_a_plan_are_named(
    tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    assert change[0] in PLAN
    with pytest.raises(ConfigError, match=problem) as raised:
        loaded(tmp_path, PLAN.replace(*change))
    assert "plan.yaml" in str(raised.value)


def test_steps_that_need_each_other_are_named(tmp_path: Path) -> None:
    text = "title: T\nabout: A\nsteps:\n"
    for one, other in (("a", "b"), ("b", "a")):
        text += f"  {one}: {{kind: join, separator: {other}, detector: {other}}}\n"
    with pytest.raises(ConfigError, match=r"need each other in a circle: [ab] <- [ab]"):
        loaded(tmp_path, text)


def test_a_plan_may_extend_another_and_leave_steps_out(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(PLAN)
    plan = loaded(tmp_path, 'extends: base.yaml\nsteps: {"sed-{seed}-{network}": null}')
    assert list(plan.steps) == ["sed-1", "sed-2"]


def test_another_kind_is_an_error_unless_it_is_meant() -> None:
    base = {"model": {"kind": "a", "x": 1}, "plain": {"y": 1}}
    with pytest.raises(ConfigError, match=r"model\.kind: 'b' over 'a'"):
        laid_over(base, {"model": {"kind": "b"}})
    assert laid_over(base, {"model": {"kind": "b", "replace": True}})["model"] == {"kind": "b"}
    assert laid_over(base, {"model": {"kind": "a", "z": 2}})["model"] == {**base["model"], "z": 2}
    assert laid_over(base, {"plain": {"kind": "c"}})["plain"] == {"y": 1, "kind": "c"}


def test_what_the_package_holds_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "jss/stage1" in names("recipes")
    for name in names("plans"):
        assert name_of("plans", find("plans", name)) == name
        load_plan(find("plans", name))
    (tmp_path / "domestic.yaml").write_text("name: mine")
    assert find("recipes", "domestic") == Path("domestic.yaml"), "the user's goes first"
    with pytest.raises(ConfigError, match="did you mean 'mean-teacher'"):
        find("recipes", "mean-teachr")
    with pytest.raises(ConfigError, match="no such file"):
        find("plans", "none.yaml")


def test_the_page_on_plans_holds_what_works(tmp_path: Path) -> None:
    text = Path("docs/plans.md").read_text()
    (yaml,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    plan = loaded(tmp_path, yaml)
    assert plan.inputs() == ["bank"]
    assert list(plan.steps)[-1] == "both"
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/plans.md", "exec", dont_inherit=True), names)  # noqa: S102
    tones = write_tone_set(tmp_path / "tones")
    census = Plan("Events", "A", {"strong": names["Census"](part="strong")})
    engine = Engine(census, "census", tmp_path / "runs", {"data": tones})
    assert engine.run(jobs=1, report=lambda *_: None) == []
    lines = names["CensusPage"]().text(engine.results()).splitlines()
    assert lines[2:4] == ["| step | class | events |", "| --- | --- | --- |"]
    assert any(line.startswith("| strong | Speech | ") for line in lines)
