"""What `streamsed-train` prints holds nothing that a terminal would act upon."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from train.console import PrintableConsole, echo

HOSTILE = "wash\x1b]0;up\x07\x1b[2J\u202eer [red]"


def test_a_line_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"{HOSTILE}\nforged")
    out = capsys.readouterr().out
    assert out.rstrip("\n").isprintable()
    assert "wash" in out


@pytest.mark.parametrize("terminal", [True, False])
def test_cells_and_lines_of_a_console_are_printable(terminal: bool) -> None:
    console = PrintableConsole(file=io.StringIO(), force_terminal=terminal, color_system=None)
    table = Table("class")
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert all(line.isprintable() for line in out.splitlines())
    assert out.count("[red]") == 2
