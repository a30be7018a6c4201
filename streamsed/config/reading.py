"""From files and command lines to a configuration."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from streamsed.complaints import first_complaint, suggest
from streamsed.config.config import Config
from streamsed.errors import ConfigError
from streamsed.sources.config import FileSource


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says something that makes no sense.
    """
    content = _read_yaml(path)
    config = parse(content, origin=str(path))
    # Not where it is validated: the command line may name other sources.
    names = [source.name for source in config.sources]
    for name in config.clips.sources or ():
        if name not in names:
            raise ConfigError(f"{path}: clips.sources: no source {name!r}; {suggest(name, names)}")
    return config.model_copy(
        update={
            "bundle": _beside(path, config.bundle),
            "publish": config.publish.beside(path),
            "sources": tuple(
                source.model_copy(update={"path": _beside(path, source.path)})
                if isinstance(source, FileSource)
                else source
                for source in config.sources
            ),
        }
    )


def parse(content: Mapping[str, Any], *, origin: str) -> Config:
    """Validate a configuration; ``origin`` names it in messages.

    Raises:
        ConfigError: it says something that makes no sense.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        complaint = first_complaint(error, content=content, model=Config)
        raise ConfigError(f"{origin}: {complaint}") from error
    config._origin = origin
    return config


def override(config: Config, changes: Mapping[str, Any], *, origin: str) -> Config:
    """Replace entries by those of the command line.

    Args:
        config: what the file says.
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
    changed = parse(content, origin=origin)
    changed._origin = config.origin
    return changed


def _beside(file: Path, path: Path) -> Path:
    """Resolve a path of a configuration file: beside it if it is there, else as it stands."""
    beside = file.parent / path
    return beside if beside.exists() else path


class _Loader(yaml.SafeLoader):
    """Refuses to read a key twice, where PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # an error in itself, which the base class raises
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)  # noqa: S506 - derives from SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no mapping of keys to values")
    return content
