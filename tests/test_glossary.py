"""The glossary: each term once, and what its last column names is in the code."""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "glossary.md"


def rows() -> list[list[str]]:
    """Cells of each row of the tables with three columns."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in cells if len(row) == 3 and row[0] != "term"]


def is_in_the_code(name: str) -> bool:
    """Whether a dotted name is a module of the project, or something in one."""
    name = name if name.startswith("train") else f"streamsed.{name}"
    module, _, member = name.rpartition(".")
    try:
        return hasattr(import_module(module), member) or find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_every_term_has_one_meaning() -> None:
    counts = Counter(row[0] for row in rows())
    assert [term for term, count in counts.items() if count > 1] == []
    assert len(counts) > 40


def test_what_the_glossary_names_is_in_the_code() -> None:
    named = [name for row in rows() for name in re.findall(r"`([\w.]+)`", row[2])]
    assert [name for name in named if not is_in_the_code(name)] == []
