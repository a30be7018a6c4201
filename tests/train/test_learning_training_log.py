"""The log of a run: what it forgets, and its pictures."""

from __future__ import annotations

from pathlib import Path

from train.engine.curves import draw_curves
from train.engine.training_log import HISTORY, TrainingLog, read_history


def write(folder: Path, steps: range, *, first: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    log = TrainingLog(folder, step=first)
    for step in steps:
        log.losses(step=step, terms={"loss": 1 / step}, rates={"learning_rate": 0.1})
        figures = {"student": {"weak_f1": None, "objective": 0.5}}
        log.validation(step=step, epoch=step, figures=figures)
    log.close()


def test_a_history_goes_on_where_the_state_was(tmp_path: Path) -> None:
    write(tmp_path / "cut", range(1, 5))
    write(tmp_path / "cut", range(3, 6), first=2)
    write(tmp_path / "whole", range(1, 6))
    assert read_history(tmp_path / "cut") == read_history(tmp_path / "whole")


def test_half_a_line_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3))
    whole = read_history(tmp_path)
    path = tmp_path / HISTORY
    path.write_text(path.read_text()[:-9])
    assert read_history(tmp_path) == whole[:-1]


def test_curves_are_drawn_from_the_first_record_on(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    for records in ([], [{"kind": "losses", "step": 1, "losses": {"loss": 0.0}}]):
        draw_curves(records, path)
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.part"))
