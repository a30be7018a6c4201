"""Layers of plain data: a recipe that extends another, what differs, and a name for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from streamsed.errors import ConfigError

Plain = dict[str, Any]

EXTENDS = "extends"
KIND = "kind"


def read_layers(path: Path, *, above: tuple[Path, ...] = ()) -> Plain:
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
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys; a recipe is a YAML mapping")
    below = content.pop(EXTENDS, [])
    names = [below] if isinstance(below, str) else below
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: {EXTENDS}: {below!r}; must name a file beside it, or several")
    layers = [read_layers(path.parent / name, above=(*above, path.resolve())) for name in names]
    return reduce(laid_over, [*layers, content], {})


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> Plain:
    """Return ``base`` with the values of ``top``, mapping by mapping.

    A mapping whose ``kind`` is another than the one below replaces it whole: the keys of one kind
    mean nothing to another.
    """
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(below, Mapping)
            and value.get(KIND, below.get(KIND)) == below.get(KIND)
        ):
            merged[key] = laid_over(below, value)
        else:
            merged[key] = value
    return merged


def delta(base: Mapping[str, Any], other: Mapping[str, Any]) -> Plain:
    """Return what ``other`` says that ``base`` does not, mapping by mapping."""
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
