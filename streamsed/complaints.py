"""One line out of what pydantic has to say about a configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

_LIST = "input should be a list"
_MAPPING = "input should be a mapping of keys to values"
_IN_YAML = {  # where pydantic speaks of Python's types
    "too_short": "input should be a list of at least one",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "path_type": "input should be a path",
}


def first_complaint(error: ValidationError, *, content: Any, model: type[BaseModel]) -> str:
    """Say in one line what is wrong first: key path, problem, value, what would be right.

    Args:
        error: what validating ``content`` as ``model`` raised.
        content: the mapping that was validated.
        model: the model that it was validated as.
    """
    complaints = error.errors(include_url=False)
    first = complaints[0]
    location = first["loc"]
    key = _key_path(location, content)
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return f"{key}: {_problem(first, model)}{more}" if key else f"{_problem(first, model)}{more}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Name what was probably meant, and everything that may be meant."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known: {', '.join(known)}"


def _problem(complaint: Mapping[str, Any], model: type[BaseModel]) -> str:
    message = complaint["msg"].removeprefix("Value error, ")
    value = complaint["input"]
    match complaint["type"]:
        case "extra_forbidden":
            known = _known_keys(model.model_json_schema(), complaint["loc"][:-1])
            return f"unknown key; {suggest(str(complaint['loc'][-1]), known)}"
        case "missing":
            return "missing"
        case "union_tag_invalid":
            context = complaint["ctx"]
            discriminator = str(context["discriminator"]).strip("'")
            tags = context["expected_tags"].replace("'", "").split(", ")
            return f"unknown {discriminator} {context['tag']!r}; {suggest(context['tag'], tags)}"
        case "union_tag_not_found":
            return f"{str(complaint['ctx']['discriminator']).strip(chr(39))} is missing"
        case "value_error":
            return str(message)
    message = _IN_YAML.get(complaint["type"], message[0].lower() + message[1:])
    return f"{message}, not {_as_yaml(value)}"


def _as_yaml(value: object) -> str:
    """Write a value so that whoever wrote it knows it again."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return repr(value)
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list" if value else "an empty list"
    return type(value).__name__  # such as a date, which YAML reads without being asked


def _key_path(location: Sequence[str | int], content: Any) -> str:
    """Write a location as ``sources[0].path``, without the tags that unions put into it."""
    path = ""
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(part, int) and not isinstance(content, Mapping):
            path += f"[{part}]"
            content = content[part] if isinstance(content, Sequence) else None
        elif last or (isinstance(content, Mapping) and part in content):
            path += f".{part}" if path else str(part)
            content = content.get(part) if isinstance(content, Mapping) else None
    return path


def _known_keys(schema: Mapping[str, Any], location: Sequence[str | int]) -> list[str]:
    """Find the keys that the JSON schema of a model knows at a location."""
    node = _resolve(schema, schema)
    for part in location:
        node = _resolve(schema, _descend(node, part))
    return list(node.get("properties", ()))


def _descend(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    if isinstance(part, int):
        return dict(node["items"])
    if part in node.get("discriminator", {}).get("mapping", {}):
        return {"$ref": node["discriminator"]["mapping"][part]}
    return dict(node.get("properties", {}).get(part) or node.get("additionalProperties") or {})


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node or "anyOf" in node:
        if "anyOf" in node:  # an optional part
            node = next(part for part in node["anyOf"] if part.get("type") != "null")
        else:
            node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node
