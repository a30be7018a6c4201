"""The table of threads in the documentation names every thread that the code starts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "threads.md"


def started() -> Iterator[tuple[str, str]]:
    """Yield module and constant beginning of the name of each thread."""
    for path in sorted((ROOT / "streamsed").rglob("*.py")):
        if "testing" in path.parts:
            continue
        module = ".".join(path.relative_to(ROOT / "streamsed").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread":
                names = [word.value for word in node.keywords if word.arg == "name"]
                assert names, f"{path}:{node.lineno}: a thread without a name"
                yield module, _beginning(names[0])


def _beginning(name: ast.expr) -> str:
    """Return the text of a constant, or what an f-string begins with."""
    if isinstance(name, ast.JoinedStr):
        name = name.values[0]
    return str(name.value).strip() if isinstance(name, ast.Constant) else ""


def test_the_table_has_every_thread() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for module, name in started():
        of_module = [row for row in rows if f"`{module}`" in row]
        assert of_module, f"{PAGE}: no row for the thread {name!r} of {module}"
        assert any(f"| `{name}" in row or not name for row in of_module), f"{PAGE}: {name!r}"
