"""Labels of a model's outputs, from the files in which people keep them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from streamsed.bundle.manifest import Label
from streamsed.errors import ConfigError

COLUMNS = ("display_name", "label", "event_label", "name", "class")
"""What the column of labels may be called, in a table."""

_LABEL: TypeAdapter[str] = TypeAdapter(Label)


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of a file, in the order of the model's outputs.

    A text file has one a line, a ``.json`` file a list, and a ``.csv`` or ``.tsv`` file a head
    with one of :data:`COLUMNS`, as AudioSet's ``class_labels_indices.csv`` has it.

    Raises:
        ConfigError: it cannot be read, or a label is missing, given twice, or no part of a topic.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text; save it as UTF-8") from error
    match path.suffix.lower():
        case ".json":
            labels = _from_json(path, text)
        case ".csv" | ".tsv":
            labels = _from_table(path, text)
        case _:
            labels = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
            while labels and not labels[-1][1]:
                labels.pop()
    return _checked(path, labels)


def _from_json(path: Path, text: str) -> list[tuple[int, str]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(label, str) for label in content):
        raise ConfigError(f"{path}: is no list of labels")
    return list(enumerate(content, 1))


def _from_table(path: Path, text: str) -> list[tuple[int, str]]:
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if row]
    head = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    column = next((head.index(name) for name in COLUMNS if name in head), None)
    if column is None:
        raise ConfigError(
            f"{path}, line 1: has the columns {', '.join(head)}; one of {', '.join(COLUMNS)} "
            "would be right, or a text file with a label a line"
        )
    return [(line, row[column].strip() if column < len(row) else "") for line, row in rows[1:]]


def _checked(path: Path, labels: list[tuple[int, str]]) -> tuple[str, ...]:
    lines: dict[str, int] = {}
    for line, label in labels:
        try:
            _LABEL.validate_python(label)
        except ValidationError as error:
            what = "a label is missing" if not label else f"the label is {label!r}"
            raise ConfigError(
                f"{path}, line {line}: {what}; one without a slash or a tab would be right, as it "
                "stands in topics"
            ) from error
        if label in lines:
            raise ConfigError(
                f"{path}, line {line}: the label {label!r} stands on line {lines[label]} already"
            )
        lines[label] = line
    if not lines:
        raise ConfigError(f"{path}: holds no label; one a line would be right")
    return tuple(lines)
