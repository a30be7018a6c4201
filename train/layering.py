"""Layers of plain data: a recipe that extends another, what differs, and a name for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from streamsed.errors import ConfigError
from streamsed.validation_messages import Location
from streamsed.yaml_document import Document, read_document, validated

Plain = dict[str, Any]
T = TypeVar("T")

EXTENDS = "extends"
KIND = "kind"
REPLACE = "replace"


@dataclass(frozen=True)
class Layers:
    """Files laid over each other.

    Attributes:
        content: what they come to.
        documents: the files, the uppermost first, for messages that name file and line.
    """

    content: Plain
    documents: tuple[Document, ...]

    def checked(self, model: type[T], *, adapter: TypeAdapter[T] | None = None) -> T:
        """Return what the content stands for, now that nothing is laid over it any more.

        Raises:
            ConfigError: all that is wrong with it, with file, line and key.
        """
        content = settled(self.content)
        return validated(content, model, documents=self.documents, adapter=adapter)

    def under(self, top: Mapping[str, Any], documents: Sequence[Document] = ()) -> Layers:
        """Return these layers with another over them.

        Raises:
            ConfigError: it has another kind of something.
        """
        return Layers(laid_over(self.content, top), (*documents, *self.documents))


def read_layered(path: Path, *, above: tuple[Path, ...] = ()) -> Layers:
    """Read a YAML file, laid over the one or several that its ``extends:`` names, if it does.

    Args:
        path: the file. What it extends is looked for beside it; of several, each lies over the
            one before.
        above: files that extend this one.

    Raises:
        ConfigError: a file is missing, is no YAML mapping, or extends itself.
    """
    if path.resolve() in above:  # or it would never end
        raise ConfigError(f"{path}: extends itself, by way of {above[-1]}")
    document = read_document(path)
    content = dict(document.content)
    below = content.pop(EXTENDS, [])
    names = [below] if isinstance(below, str) else below
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: {EXTENDS}: {below!r}; must name a file beside it, or several")
    layers = [read_layered(path.parent / name, above=(*above, path.resolve())) for name in names]
    merged: Plain = {}
    try:
        for each in (*(layer.content for layer in layers), content):
            merged = laid_over(merged, each)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    documents = [document, *(of for layer in reversed(layers) for of in layer.documents)]
    return Layers(merged, tuple(documents))


def read_layers(path: Path) -> Plain:
    """Return the content of :func:`read_layered`."""
    return read_layered(path).content


def part(document: Document, at: Location) -> Document:
    """Return what a document holds below a key, with its lines."""

    def below(places: Mapping[Location, Any]) -> dict[Location, Any]:
        count = len(at)
        return {key[count:]: of for key, of in places.items() if key[:count] == at and key[count:]}

    return replace(
        document, content={}, lines=below(document.lines), written=below(document.written), traps=()
    )


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any], *, key: str = "") -> Plain:
    """Return ``base`` with the values of ``top``, mapping by mapping.

    ``replace: true`` in a mapping puts it in place of the one below, whole; where there is none
    below it stays, for what this may be laid over: see :func:`settled`.

    Args:
        base: what lies below.
        top: what lies over it.
        key: of both, for messages.

    Raises:
        ConfigError: a mapping's ``kind`` is another than that below: what was given for one kind
            means nothing to another.
    """
    merged = dict(base)
    for name, value in top.items():
        below, path = merged.get(name), f"{key}.{name}" if key else str(name)
        if not isinstance(value, Mapping) or not isinstance(below, Mapping):
            merged[name] = value
        elif value.get(REPLACE) is True:
            merged[name] = {k: v for k, v in value.items() if k != REPLACE}
        elif KIND in value and value[KIND] != below.get(KIND, value[KIND]):
            raise ConfigError(
                f"{path}.kind: {value[KIND]!r} over {below[KIND]!r}; give the same, or "
                f"{REPLACE}: true beside it to leave out all that was given for the other"
            )
        else:
            merged[name] = laid_over(below, value, key=path)
    return merged


def settled(content: Any) -> Any:
    """Return content that is laid over nothing any more, without ``replace: true``."""
    if isinstance(content, Mapping):
        kept = {k: v for k, v in content.items() if not (k == REPLACE and v is True)}
        return {key: settled(value) for key, value in kept.items()}
    return [settled(value) for value in content] if isinstance(content, list) else content


def delta(base: Mapping[str, Any], other: Mapping[str, Any]) -> Plain:
    """Return what ``other`` has that ``base`` does not, mapping by mapping."""
    found: Plain = {}
    for key, value in other.items():
        below = base.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            if inner := delta(below, value):
                found[key] = inner
        elif key not in base or value != below:
            found[key] = value
    return found


def signature(content: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits of the SHA-1 of plain data, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]
