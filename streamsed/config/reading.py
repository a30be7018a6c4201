"""From files and command lines to a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from streamsed.config.config import Config, name_mistakes
from streamsed.errors import ConfigError
from streamsed.validation_messages import Mistake, mistakes, suggest, truths_for_numbers
from streamsed.yaml_document import Document, all_mistakes, read_document


def read_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds what makes no sense.
    """
    document = read_document(path)
    config = _validated(document)
    config._bundle_beside = path.parent
    return config.model_copy(
        update={
            "publish": config.publish.beside(path),
            "sources": tuple(source.beside(path) for source in config.sources),
            "sinks": tuple(sink.beside(path) for sink in config.sinks),
        }
    )


def parse_config(content: Mapping[str, Any], *, origin: str) -> Config:
    """Validate a configuration; ``origin`` names it in messages.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        found = mistakes(error, model=Config)
        raise ConfigError(*(f"{origin}: {mistake}" for mistake in found)) from error
    config._origin = origin
    return config


def _validated(document: Document) -> Config:
    content = document.content
    found: list[Mistake] = []
    config = None
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        found += mistakes(error, model=Config, written=document.written)
    if ("sources",) not in (mistake.location for mistake in found):
        found += truths_for_numbers(content, model=Config, written=document.written)
    sources = content.get("sources", [{"name": "mic"}])
    if isinstance(sources, list) and ("sources",) not in (mistake.location for mistake in found):
        # What lies between sources is looked at though one of them is wrong by itself.
        entries = [entry for entry in sources if isinstance(entry, dict)]
        found += (Mistake(("sources",), problem) for problem in name_mistakes(entries))
        # Not where it is validated: the command line may name other sources.
        found += _clip_mistakes(content.get("clips"), [entry.get("name") for entry in entries])
    if config is None or found or document.traps:
        raise all_mistakes(found, documents=[document])
    config._origin, config._documents = str(document.path), (document,)
    return config


def _clip_mistakes(clips: Any, names: list[Any]) -> Iterator[Mistake]:
    wanted = clips.get("sources") if isinstance(clips, dict) else None
    if isinstance(wanted, list) and all(isinstance(name, str) for name in (*wanted, *names)):
        for name in wanted:
            if name not in names:
                yield Mistake(("clips", "sources"), f"no source {name!r}; {suggest(name, names)}")


def override(config: Config, changes: Mapping[str, Any], *, origin: str) -> Config:
    """Replace entries by those of the command line.

    Args:
        config: as read from the file.
        changes: by top-level key; a mapping replaces single entries of its part.
        origin: names the changes in messages.

    Raises:
        ConfigError: a change makes no sense.
    """
    content = {key: getattr(config, key) for key in config.model_fields_set}
    for key, value in changes.items():
        part = getattr(config, key)
        merged = isinstance(value, dict) and isinstance(part, BaseModel)
        content[key] = part.model_dump(exclude_unset=True) | value if merged else value
    changed = parse_config(content, origin=origin)
    changed._origin, changed._documents = config.origin, config._documents
    # The command line's is relative to the working directory.
    changed._bundle_beside = None if "bundle" in changes else config._bundle_beside
    return changed
