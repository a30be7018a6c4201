"""What a person sees of a run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.console import PrintableConsole

WORTH_SAYING = 0.1
"""Share of the time waited for clips from which on more workers, or a cache, would help."""


class Display:
    """Shows the progress of a run on standard error.

    Args:
        steps: of the whole run.
        step: that it goes on from.
        quiet: show nothing, as in all processes but the first.
    """

    def __init__(self, *, steps: int, step: int, quiet: bool = False) -> None:
        self._console = PrintableConsole(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._steps = steps
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("steps", total=steps, completed=step, losses="")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def stepped(self) -> None:
        """Count a step."""
        self._bar.advance(self._task)

    def losses(
        self, step: int, terms: Mapping[str, float], *, steps_a_s: float, waited: float
    ) -> None:
        """Show losses: beside the bar, or as a line.

        Args:
            step: the latest.
            terms: parts of the loss.
            steps_a_s: of late.
            waited: share of the time that clips were waited for.
        """
        speed = f"{steps_a_s:.2f} steps/s"
        if waited >= WORTH_SAYING:
            speed += f" ({waited:.0%} of the time waiting for clips)"
        if self._bar.disable:
            text = " ".join(f"{name} {value:.4f}" for name, value in terms.items())
            self.line(f"step {step} of {self._steps}: {text}, {speed}")
        else:  # there is room for the sum
            self._bar.update(self._task, losses=f"loss {terms['loss']:.4f}, {speed}")

    def line(self, text: str) -> None:
        """Write a line, above the bar if there is one."""
        self._bar.console.print(text, markup=False)
