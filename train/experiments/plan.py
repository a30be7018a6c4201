"""A plan: a graph of steps, read from YAML.

::

    title: of the page
    about: what a reader should know
    templates: {NAME: {...}}           what several steps have in common
    steps:
      NAME: {kind: fit, template: NAME, ...}
      "NAME-{seed}": {matrix: {seed: [1, 2]}, kind: fit, seed: "{seed}", ...}
    page: {kind: comparison, ...}

A ``matrix`` makes a step of every combination of its values, which stand for ``{KEY}`` in the
step's name and in all its options. A need is ``STEP``, ``STEP/OUTPUT``, or the name of an input
that is given on the command line; an input that is given stands in for a step of its name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from itertools import product
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Discriminator, Tag

from streamsed.errors import ConfigError
from streamsed.validation_messages import Location, Mistake, suggest
from streamsed.yaml_document import Document, all_mistakes, validated
from train.experiments.artefact import Kind
from train.experiments.kinds import PAGES, STEPS
from train.experiments.page import Page
from train.experiments.step import Need, Step
from train.layering import Plain, laid_over, part, read_layered

INPUTS: dict[str, Kind] = {"data": "data", "mixtures": "data", "bank": "bank"}
"""What the command line may give: a data set, another of mixtures, a recording bank."""

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _one_of(kinds: tuple[type, ...]) -> Any:
    tagged = [Annotated[kind, Tag(_kind(kind))] for kind in kinds]
    return Annotated[reduce(or_, tagged), Discriminator(_kind)]


def _kind(of: Any) -> Any:
    return of.get("kind") if isinstance(of, Mapping) else getattr(of, "kind", None)


if TYPE_CHECKING:
    AnyStep = Step
    AnyPage = Page
else:
    AnyStep, AnyPage = _one_of(STEPS), _one_of(PAGES)


@dataclass(frozen=True)
class Plan:
    """Steps, and the page that is written of what they yield.

    Attributes:
        title: of the page.
        about: what a reader should know of the figures.
        steps: by name, every matrix written out.
        page: None for a plan without.
        file: that it was read from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    about: str
    steps: dict[str, AnyStep]
    page: AnyPage | None = None
    file: Path = field(default=Path(), kw_only=True)

    def order(self) -> TopologicalSorter[str]:
        """Return what gives the steps one after another, none before what it needs."""
        return TopologicalSorter({name: self.before(name) for name in self.steps})

    def before(self, name: str) -> list[str]:
        """Return the steps whose artefacts a step needs."""
        needed = (split(need.of)[0] for need in self.steps[name].needs().values())
        return [step for step in needed if step in self.steps]

    def inputs(self, given: Container[str] = ()) -> list[str]:
        """Return the inputs that steps need, but for steps that ``given`` stands in for."""
        needs = (
            need.of
            for name, step in self.steps.items()
            if name not in given
            for need in step.needs().values()
        )
        return list(dict.fromkeys(of for of in needs if split(of)[0] not in self.steps))


def split(reference: str) -> tuple[str, str | None]:
    """Return the step, and the name of its output, that a reference is to."""
    step, _, output = reference.partition("/")
    return step, output or None


def load_plan(file: Path) -> Plan:
    """Read a plan, and check all that it names.

    Raises:
        ConfigError: all that is wrong with it, or with a recipe that it names, by file and key.
    """
    layers = read_layered(file)
    content = dict(layers.content)
    templates = content.pop("templates", {})
    documents, places = layers.documents, dict[str, tuple[Location, ...]]()
    if isinstance(steps := content.get("steps"), Mapping):
        written = list(_written_out(steps, templates, file))
        content["steps"] = {name: step for name, _, step in written}
        places = {name: where for name, where, _ in written}
        documents = tuple(_with_lines(document, places) for document in documents)
    context = {"beside": file.parent}
    plan = validated({**content, "file": file}, Plan, documents=documents, context=context)
    found: list[str] = []
    for name, step in plan.steps.items():
        try:
            step.check([part(each, at) for at in places[name] for each in layers.documents])
        except ConfigError as error:
            found += [f"{mistake} (step {name})" for mistake in error.mistakes]
    if found:
        raise ConfigError(*dict.fromkeys(found))
    wrong = [Mistake(where, problem) for where, problem in _mistakes(plan)]
    if wrong:
        raise all_mistakes(wrong, documents=documents)
    return plan


def _with_lines(document: Document, places: Mapping[str, tuple[Location, ...]]) -> Document:
    """Return a document that knows the lines of steps by their names, without templates."""
    lines, written = dict(document.lines), dict(document.written)
    for name, locations in places.items():
        at = ("steps", name)
        for location in reversed(locations):
            if (line := document.lines.get(location)) is not None:
                lines[at] = line
            below = part(document, location)
            lines |= {(*at, *key): line for key, line in below.lines.items()}
            written |= {(*at, *key): text for key, text in below.written.items()}
    return replace(document, lines=lines, written=written)


def _written_out(
    steps: Mapping[str, Any], templates: Mapping[str, Plain], file: Path
) -> Iterator[tuple[str, tuple[Location, ...], Any]]:
    """Yield every step, of each combination of its matrix: its name, where it stands, its keys."""
    seen = set()
    for pattern, options in steps.items():
        if options is None:  # taken out of the plan that this one extends
            continue
        at: tuple[Location, ...] = (("steps", pattern),)
        if not isinstance(options, Mapping):
            yield pattern, at, options
            continue
        step = dict(options)
        name = step.pop("template", None)
        if name is not None:
            if name not in templates:
                raise ConfigError(
                    f"{file}: steps.{pattern}.template: unknown {name!r}; "
                    f"{suggest(str(name), templates)}"
                )
            step, at = laid_over(templates[name], step), (*at, ("templates", name))
        matrix = step.pop("matrix", {})
        if not isinstance(matrix, Mapping) or not all(
            isinstance(values, list) and values for values in matrix.values()
        ):
            raise ConfigError(f"{file}: steps.{pattern}.matrix: must hold lists of values by key")
        for values in product(*matrix.values()):
            combination = dict(zip(matrix, values, strict=True))
            written = _filled(pattern, combination)
            if not _NAME.fullmatch(written):
                raise ConfigError(f"{file}: steps.{pattern}: {written!r} cannot be a folder's name")
            if written in seen:
                raise ConfigError(
                    f"{file}: steps.{pattern}: two steps are named {written}; "
                    f"the name must hold every key of matrix: {', '.join(matrix)}"
                )
            seen.add(written)
            yield written, at, _filled(step, combination)


def _filled(content: Any, values: Mapping[str, Any]) -> Any:
    """Return content with values for placeholders, as they are where nothing else stands."""
    if isinstance(content, Mapping):
        return {_filled(key, values): _filled(value, values) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    if not isinstance(content, str):
        return content
    whole = _PLACEHOLDER.fullmatch(content)
    if whole and whole[1] in values:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: _written(values.get(found[1], found[0])), content)


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def _mistakes(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Yield what needs are not there or of another kind, and where steps need each other."""
    if not plan.steps:
        yield ("steps",), "is empty; name at least one"
    for name, step in plan.steps.items():
        for key, need in step.needs().items():
            if mistake := _missing(plan, need):
                yield ("steps", name, *key.split(".", 1)), mistake
    if plan.page is not None:
        yield from ((("page", *key), mistake) for key, mistake in plan.page.mistakes(plan.steps))
    try:
        plan.order().prepare()
    except CycleError as error:
        yield ("steps",), f"need each other in a circle: {' <- '.join(error.args[1])}"


def _missing(plan: Plan, need: Need) -> str | None:
    step, output = split(need.of)
    if step not in plan.steps:
        if need.of not in INPUTS:
            return f"no step {step!r}; {suggest(step, [*plan.steps, *INPUTS])}"
        found: Kind = INPUTS[need.of]
    else:
        yields = plan.steps[step].yields()
        if output is not None and output not in yields:
            return f"step {step} yields no {output!r}; {suggest(output, yields)}"
        found = (yields[output] if output else next(iter(yields.values()))).kind
    return None if found == need.kind else f"{need.of} is of kind {found}, not {need.kind}"
