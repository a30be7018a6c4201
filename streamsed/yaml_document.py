"""YAML that people write: what it holds, in which line each key stands, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from streamsed.validation_messages import Location, Mistake, as_yaml, key_path, mistakes

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000
"""Of a document with its aliases written out: each may stand for thousands that stand for more."""
DEEPEST = 50

_MERGE = "tag:yaml.org,2002:merge"
_TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:value")  # the latter is a lone =
_INT = "tag:yaml.org,2002:int"
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_TAB = "found character '\\t' that cannot start any token"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trap:
    """What YAML reads otherwise than it was probably meant.

    Attributes:
        line: where it stands.
        location: of the key; None if nothing that is found later may stand for it.
        text: what is wrong, with the key.
    """

    line: int
    location: Location | None
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file that was read, and not yet validated.

    Attributes:
        path: of the file.
        content: plain Python, with aliases and merge keys written out; all keys are text.
        lines: of each key and each entry of a list, counted from 1.
        written: unquoted values that YAML takes for something else than text (``on`` for true),
            as they stand in the file.
        traps: :func:`validated` raises them with all other mistakes.
    """

    path: Path
    content: dict[str, Any]
    lines: Mapping[Location, int] = field(repr=False, compare=False)
    written: Mapping[Location, str] = field(repr=False, compare=False)
    traps: Sequence[Trap] = ()


def place(location: Location, documents: Sequence[Document]) -> tuple[int, int]:
    """Return the index of a document and the line in it where a key stands.

    Args:
        location: of the key. If it is nowhere, what holds it is looked for.
        documents: that were laid over each other, the uppermost first.

    Returns:
        Line 0 of the uppermost for what has no place.
    """
    for length in range(len(location), 0, -1):
        for index, document in enumerate(documents):
            if (line := document.lines.get(location[:length])) is not None:
                return index, line
    return 0, 0


def where(location: Location, documents: Sequence[Document]) -> str:
    """Return ``FILE:LINE`` of a key, for messages; see :func:`place`."""
    index, line = place(location, documents)
    return f"{documents[index].path}:{line}" if line else str(documents[index].path)


def validated(
    content: Any,
    model: type[T],
    *,
    documents: Sequence[Document],
    context: Mapping[str, Any] | None = None,
    adapter: TypeAdapter[T] | None = None,
) -> T:
    """Validate what documents come to.

    Args:
        content: the content of one document, or of several laid over each other.
        model: what it should be: a pydantic model or a dataclass.
        documents: it came from, the uppermost first.
        context: for the validators of the model.
        adapter: of the model, for those who validate often; it takes long to make.

    Raises:
        ConfigError: everything that is wrong, each thing with its file, line and key.
    """
    try:
        value: T = (adapter or TypeAdapter(model)).validate_python(content, context=context)
    except ValidationError as error:
        written = {at: text for each in reversed(documents) for at, text in each.written.items()}
        found = mistakes(error, model=model, written=written)
        raise all_mistakes(found, documents=documents) from error
    if any(document.traps for document in documents):
        raise all_mistakes((), documents=documents)
    return value


def all_mistakes(found: Sequence[Mistake], *, documents: Sequence[Document]) -> ConfigError:
    """Return mistakes and the traps of the documents, in the order in which they stand there."""
    known = {mistake.location for mistake in found}
    lines = [
        (place(each.location, documents), f"{where(each.location, documents)}: {each}")
        for each in found
    ]
    for index, document in enumerate(documents):
        lines += [
            ((index, trap.line), f"{document.path}:{trap.line}: {trap.text}")
            for trap in document.traps
            if trap.location is None or trap.location not in known
        ]
    return ConfigError(*(text for _, text in sorted(lines, key=lambda each: each[0])))


def read_document(path: Path) -> Document:
    """Read a YAML file; an empty one is an empty mapping.

    Merge keys (``<<: *name``, ``<<: [*one, *other]``) are written out.

    Raises:
        ConfigError: it cannot be read, is no YAML, or no mapping.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: is longer than {MOST_BYTES} bytes; is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text: {error.reason}") from error
    builder = _Builder()
    try:
        content = builder.build(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: is no YAML: {_problem(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ConfigError(f"{path}: is no YAML: it is nested too deeply") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no mapping of keys to values")
    return Document(path, content, builder.lines, builder.written, tuple(builder.traps))


def _problem(error: yaml.MarkedYAMLError) -> str:
    if error.problem == _TAB:
        return "there is a tab; YAML indents with spaces"
    return str(error.problem or error.context)


class _Builder:
    """Makes Python's values of YAML's nodes, and notes where they stand."""

    def __init__(self) -> None:
        self.traps: list[Trap] = []
        self.lines: dict[Location, int] = {}
        self.written: dict[Location, str] = {}
        self._values = 0
        self._loader = yaml.SafeLoader("")

    def build(self, text: str) -> Any:
        """Return the content of the one document that a text holds."""
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if root is None else self._value(root, ())

    def _value(self, node: yaml.Node, location: Location) -> Any:
        self._count(node, depth=len(location))
        if isinstance(node, yaml.MappingNode) and node.tag in _PLAIN_TAGS:
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag in _PLAIN_TAGS:
            return self._sequence(node, location)
        if isinstance(node, yaml.ScalarNode):
            if node.tag in _TEXT:
                return node.value
            if node.style is None:
                self.written[location] = node.value
                self._check_number(node, location)
        return self._plain(node)

    def _plain(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node, deep=True)
        except ValueError as error:  # a date such as 2026-13-01, a number of too many digits
            raise _refusal(f"{node.value}: {error}", node) from error

    def _sequence(self, node: yaml.SequenceNode, location: Location) -> list[Any]:
        entries = []
        for index, entry in enumerate(node.value):
            self.lines[*location, index] = entry.start_mark.line + 1
            entries.append(self._value(entry, (*location, index)))
        return entries

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        content = {}
        for key, (key_node, value_node) in self._pairs(node, location, len(location)).items():
            self.lines[*location, key] = key_node.start_mark.line + 1
            content[key] = self._value(value_node, (*location, key))
        return content

    def _pairs(
        self, node: yaml.MappingNode, location: Location, depth: int
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the pairs of a mapping: its own, then those merged that it does not have."""
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                several = isinstance(value_node, yaml.SequenceNode)
                merged += value_node.value if several else [value_node]
                continue
            key = self._key(key_node, location)
            if key in pairs:
                first = pairs[key][0].start_mark.line + 1
                text = f"is no YAML: key {key!r} is given twice (first in line {first})"
                self._note(key_node, None, text)
                continue
            pairs[key] = key_node, value_node
        for source in merged:
            self._count(source, depth=depth)
            if not isinstance(source, yaml.MappingNode):
                raise _refusal("<< takes an alias of a mapping, or a list of such", source)
            pairs = self._pairs(source, location, depth + 1) | pairs
        return pairs

    def _key(self, node: yaml.Node, location: Location) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _refusal("a key is a mapping or a list; text would be right", node)
        text = str(node.value)
        if node.tag not in _TEXT:
            at = (*location, text)
            taken = f"key {text or '(nothing)'} is {as_yaml(self._plain(node))} for YAML, not text"
            self._note(node, at, f'{key_path(at)}: {taken}; in quotes, "{text}", it is')
        return text

    def _check_number(self, node: yaml.ScalarNode, location: Location) -> None:
        """Note whole numbers that YAML 1.1 reads otherwise than most people do."""
        text = node.value
        digits = text.lstrip("+-")
        base = 60 if ":" in digits else 8 if digits.isdecimal() and digits[0] == "0" else 10
        if node.tag == _INT and base != 10 and digits != "0":
            taken = f"{text} is {self._plain(node)} for YAML, which takes it for base {base}"
            self._note(
                node,
                location,
                f'{key_path(location)}: {taken}; write that, or "{text}" in quotes for text',
            )

    def _count(self, node: yaml.Node, *, depth: int) -> None:
        self._values += 1
        if depth > DEEPEST:
            raise _refusal("it is nested too deeply, or an alias holds itself", node)
        if self._values > MOST_VALUES:
            raise _refusal(f"with aliases written out it has over {MOST_VALUES} values", node)

    def _note(self, node: yaml.Node, location: Location | None, text: str) -> None:
        self.traps.append(Trap(node.start_mark.line + 1, location, text))


def _refusal(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
