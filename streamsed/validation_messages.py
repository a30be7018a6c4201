"""Lines for people out of what pydantic finds wrong: key, problem, value, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter, ValidationError

Location = tuple[str | int, ...]
"""Keys and indices from the top of a document, such as ``("sources", 0, "path")``."""

_LIST = "a list"
_MAPPING = "a mapping of keys to values"
_WHOLE = "a whole number"
_NUMBER = "a number"
_TRUTH = "true or false"
_SHAPES = {  # what a value should have been, where it is of another kind altogether
    "bool_parsing": _TRUTH,
    "bool_type": _TRUTH,
    "dataclass_type": _MAPPING,
    "dict_type": _MAPPING,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "list_type": _LIST,
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "path_type": "a path",
    "string_type": "text",
    "too_short": "a list of at least one",
    "tuple_type": _LIST,
}
_PLAIN = {**_SHAPES, "float_parsing": "a valid number", "float_type": "a valid number"}
_PLAIN |= {
    "int_parsing": "a valid integer",
    "int_type": "a valid integer",
    "string_type": "a valid string",
}
_TEXTS = ("enum", "literal_error", "path_type", "string_type")
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_LONGEST = 100  # of a value that is shown


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        location: of the key or entry; empty for the whole.
        problem: what is wrong with it, and what would be right.
    """

    location: Location
    problem: str

    def __str__(self) -> str:
        key = key_path(self.location)
        return f"{key}: {self.problem}" if key else self.problem


def mistakes(
    error: ValidationError,
    *,
    model: Any,
    written: Mapping[Location, str] | None = None,
) -> list[Mistake]:
    """Return everything that is wrong, each thing once.

    Args:
        error: what validating as ``model`` raised.
        model: a pydantic model, a dataclass, a union of them.
        written: values that stand in the file otherwise than YAML reads them, such as ``on``.
    """
    schema = TypeAdapter(model).json_schema()
    errors = [each for each in error.errors(include_url=False) if not _follows(each)]
    places = [_place(schema, error) for error in errors]
    found: dict[Mistake, None] = {}
    # What was tried of a union comes in a row.
    for union, group in groupby(places, key=lambda place: place.union):
        for place in [*group] if union is None else _nearest(union, [*group]):
            found[Mistake(place.location, _problem(place, written or {}))] = None
    return list(found)


def truths_for_numbers(
    content: Any, *, model: Any, written: Mapping[Location, str]
) -> Iterator[Mistake]:
    """Yield where ``on`` or ``no`` stands for a number, which pydantic takes for 1 or 0.

    Args:
        content: was validated as ``model``.
        model: a pydantic model, a dataclass, a union of them.
        written: values that YAML takes for something else than text, as they stand in the file.
    """
    schema: Mapping[str, Any] | None = None
    for location, text in written.items():
        value = _value(content, location)
        if isinstance(value, bool):
            schema = schema or TypeAdapter(model).json_schema()
            if _node(schema, content, location).get("type") in ("number", "integer"):
                taken = (
                    f"{as_yaml(value)}{'' if text == as_yaml(value) else f', as YAML takes {text}'}"
                )
                yield Mistake(location, f"input should be a number, not {taken}")


def _value(content: Any, location: Location) -> Any:
    for part in location:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):  # of a layer that another lies over
            return None
    return content


def _node(schema: Mapping[str, Any], content: Any, location: Location) -> Mapping[str, Any]:
    """Return the JSON schema of a value."""
    node = _resolve(schema, schema)
    for part in location:
        if "discriminator" in node:
            tag = content.get(node["discriminator"]["propertyName"])
            if (reference := node["discriminator"]["mapping"].get(tag)) is None:
                return {}
            node = _resolve(schema, {"$ref": reference})
        content, node = content[part], _resolve(schema, _descend(node, part))
    return node


def one_line(error: ValidationError, *, model: Any) -> str:
    """Return all mistakes in one line, where there is no file to name lines of."""
    return "; ".join(str(each) for each in mistakes(error, model=model))


def suggest(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant, and everything that may be meant."""
    known = sorted(known)
    close = [name for name in known if name.casefold() == word.casefold() and name != word]
    close = close or difflib.get_close_matches(word, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known: {', '.join(known)}"


def key_path(location: Location) -> str:
    """Write a location as ``sources[0].path``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def as_yaml(value: object) -> str:
    """Write a value as it stands in a YAML file."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str() | int() | float():
            text = repr(value)
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list" if value else "an empty list"
    return type(value).__name__  # such as a date, which YAML reads from plain text


@dataclass(frozen=True, slots=True)
class _Place:
    """A error of pydantic's, and where it belongs.

    Attributes:
        error: as pydantic words it.
        location: without the names that pydantic gives to what it tries of a union.
        union: location of the union that it is about or below, if it is below one without tags.
        parent: JSON schema of what holds the last key.
    """

    error: Mapping[str, Any]
    location: Location
    union: Location | None
    parent: Mapping[str, Any]


def _place(schema: Mapping[str, Any], error: Mapping[str, Any]) -> _Place:
    location: list[str | int] = []
    union: Location | None = None
    node = parent = _resolve(schema, schema)
    for part in error["loc"]:
        branches = [_resolve(schema, branch) for branch in _branches(node)]
        if part in (tags := node.get("discriminator", {}).get("mapping", {})):
            node = _resolve(schema, {"$ref": tags[part]})
        elif len(branches) > 1:
            union = tuple(location) if union is None else union
            node = next((branch for branch in branches if _is_called(branch, part)), {})
        elif part != "[key]":
            location.append(part)
            parent, node = node, _resolve(schema, _descend(node, part))
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _Place(error, tuple(location), None, parent)
    return _Place(error, tuple(location), union, parent)


def _is_called(branch: Mapping[str, Any], name: str | int) -> bool:
    """Whether pydantic calls this part of a union so: by its class, or the value it is known by."""
    known_by = (entry.get("const") for entry in branch.get("properties", {}).values())
    return branch.get("title") == name or name in known_by


def _follows(error: Mapping[str, Any]) -> bool:
    """Whether it is of a list that lacks nothing but its wrong entries."""
    least = error.get("ctx", {}).get("min_length", 0)
    return error["type"] == "too_short" and bool(len(error["input"]) >= least)


def _nearest(union: Location, places: list[_Place]) -> Iterator[_Place]:
    """Yield the errors about what was most likely meant, of all that a union may be."""
    fits = [place for place in places if place.location != union]  # its kind does, not its content
    fits = fits or [place for place in places if _expected(place.error) is None]
    if fits or len(places) == 1:
        yield from fits or places
        return
    words = " or ".join(str(_expected(place.error)) for place in places)
    words = words.replace(" or ", ", ", words.count(" or ") - 1)
    merged = {**places[0].error, "type": "union", "msg": f"input should be {words}"}
    yield _Place(merged, union, None, places[0].parent)


def _expected(error: Mapping[str, Any]) -> str | None:
    """Return what a value of another kind should have been; None if it is of the right kind."""
    if error["type"] in ("literal_error", "enum"):
        return str(error["ctx"]["expected"])
    return _SHAPES.get(error["type"])


def _problem(place: _Place, written: Mapping[Location, str]) -> str:
    error, location = place.error, place.location
    message = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case kind if kind in _UNKNOWN:
            known = place.parent.get("properties", ())
            return f"unknown key; {suggest(str(location[-1]), known)}"
        case "missing":
            return "missing"
        case "union_tag_invalid":
            context = error["ctx"]
            discriminator = _tag_key(context["discriminator"])
            tags = context["expected_tags"].replace("'", "").split(", ")
            return f"unknown {discriminator} {context['tag']!r}; {suggest(context['tag'], tags)}"
        case "union_tag_not_found":
            return f"{_tag_key(error['ctx']['discriminator'])} is missing"
        case "value_error" | "assertion_error":
            return str(message)
    if plain := _PLAIN.get(error["type"]):
        message = f"input should be {plain}"
    message = message[0].lower() + message[1:]
    return f"{message}, not {as_yaml(error['input'])}{_as_written(place, written)}"


def _tag_key(discriminator: str) -> str:
    """Return the key that selects a part of a union; a function is called after it."""
    return discriminator.strip("'").removesuffix("()").lstrip("_")


def _as_written(place: _Place, written: Mapping[Location, str]) -> str:
    """Add how a value stands in the file, if YAML took text for something else."""
    text, error = written.get(place.location), place.error
    if not text or error["input"] is None:
        return ""
    taken = f", as YAML takes {text}" if text != as_yaml(error["input"]) else ""
    wants_text = error["type"] in _TEXTS or "text" in error["msg"]
    return taken + (f'; in quotes, "{text}", it is text' if wants_text else "")


def _branches(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for part in node.get("anyOf", node.get("oneOf", ())) if part.get("type") != "null"]


def _descend(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    if isinstance(part, int):
        first: Sequence[Mapping[str, Any]] = node.get("prefixItems", ())
        return first[part] if part < len(first) else dict(node.get("items") or {})
    found = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return found if isinstance(found, Mapping) else {}


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and take what is optional for what it is if it is there."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
        elif len(branches := _branches(node)) == 1 and "discriminator" not in node:
            node = branches[0]
        else:
            return node
