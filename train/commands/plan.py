"""``streamsed-train plan``, ``compare`` and ``recipe``: whole experiments, to their tables."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streamsed.errors import ConfigError
from streamsed.printable import printable_lines
from train.console import PrintableConsole, echo

if TYPE_CHECKING:
    from train.experiments.engine import Engine
    from train.experiments.page import Page
    from train.experiments.workers import Outcome

Device = Literal["auto", "cpu", "cuda"]

DataOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Data set in DESED's shape, to learn from.")
]
MixturesOption = Annotated[
    Path | None,
    typer.Option(
        "--fuss", "--mixtures", metavar="DIR", help="Mixtures in FUSS's shape; else in --data."
    ),
]
BankOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Recording bank, to mix the plan's own data of.")
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write the page here; else print it.")
]
RunsOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of all runs; else the user's own.")
]
CacheOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="What many runs share; else the user's own.")
]
JobsOption = Annotated[int, typer.Option(min=0, help="Steps at a time; 0 is one a processor core.")]
MinutesOption = Annotated[float | None, typer.Option(help="Stop, to be resumed, after this.")]
DeviceOption = Annotated[
    Device | None, typer.Option(help="To train and score with, instead of the recipes'.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, help="Processes that read clips, instead of the recipes'.")
]
StatusOption = Annotated[
    bool, typer.Option("--status", "--dry-run", help="Show how far each step is; run nothing.")
]


def plan(
    name: Annotated[str, typer.Argument(help="Of a plan, or its YAML file.")],
    data: DataOption = None,
    mixtures: MixturesOption = None,
    bank: BankOption = None,
    output: OutputOption = None,
    runs: RunsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 1,
    minutes: MinutesOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    status: StatusOption = False,
) -> None:
    """Run the steps of a plan and write its page.

    What is done is not done anew, unless it or something that it is made of was changed; what was
    stopped goes on when the same command is given again.
    """
    from train.experiments.engine import Engine  # noqa: PLC0415
    from train.experiments.plan import load_plan  # noqa: PLC0415
    from train.experiments.step import Machine  # noqa: PLC0415
    from train.places import cache_folder, find, name_of, runs_folder  # noqa: PLC0415

    file = find("plans", name)
    loaded, title = load_plan(file), name_of("plans", file)
    if mixtures is None and "mixtures" not in loaded.steps:
        mixtures = data
    given = {"data": data, "mixtures": mixtures, "bank": bank}
    asked = {"device": device, "workers": workers}
    folder = runs_folder(runs) / Path(title).with_suffix("").name
    engine = Engine(
        loaded,
        title,
        folder,
        {key: path for key, path in given.items() if path is not None},
        Machine(
            recipes={key: value for key, value in asked.items() if value is not None},
            cache=cache_folder(cache),
            features=folder / "features",
            jobs=os.cpu_count() or 1,
            until=None if minutes is None else time.monotonic() + 60 * minutes,
        ),
    )
    console = PrintableConsole(stderr=True, highlight=False, soft_wrap=True)
    if status:
        show_status(engine, PrintableConsole())
        return
    failed, stopped = _run(engine, jobs or os.cpu_count() or 1, console)
    nothing = not any(found for _, _, found in engine.results().scored())
    if loaded.page is not None and not (failed and nothing):  # what failed has had its line
        _write_page(loaded.page, engine, output)
    state = "failed" if failed else "stopped; the same command goes on" if stopped else "done"
    echo(f"{output or folder}: {_count(engine)}, {state}", err=output is None)
    if failed:
        raise typer.Exit(1)


def _write_page(page: Page, engine: Engine, output: Path | None) -> None:
    """Write the page and its pictures, or print the page."""
    from dataclasses import replace  # noqa: PLC0415

    results = engine.results()
    if output is None:
        typer.echo(printable_lines(page.text(results)), nl=False)
        return
    pictures = output.with_suffix("")
    results = replace(results, pictures=pictures.name)
    output.write_text(page.text(results), encoding="utf-8")
    page.draw(results, pictures)


def _count(engine: Engine) -> str:
    """Return how many systems are scored, or of a plan without any, steps done."""
    results = engine.results()
    scored = [found for _, _, found in results.scored()]
    if scored:
        return f"{sum(found is not None for found in scored)} of {len(scored)} systems"
    return f"{len(results.folders)} of {len(results.steps)} steps"


def compare(
    name: Annotated[str, typer.Argument(help="What to compare: a plan's name, or its YAML file.")],
    data: DataOption = None,
    bank: BankOption = None,
    output: OutputOption = None,
    runs: RunsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 0,
    minutes: MinutesOption = None,
    status: StatusOption = False,
) -> None:
    """Train every run of a comparison, score it on validation clips, and write a page.

    The data is --data, or mixed from --bank as the comparison has it. What each run prints stands
    in its folder, in step.log.
    """
    if (data is None) == (bank is None):
        raise ConfigError("give --data, a data set, or --bank, to mix one from")
    plan(
        name,
        data=data,
        bank=bank,
        output=output,
        runs=runs,
        cache=cache,
        jobs=jobs,
        minutes=minutes,
        status=status,
    )


def recipe(
    paper: Annotated[str, typer.Argument(help="Whose experiments, such as jss.")],
    grid: Annotated[bool, typer.Option("--grid", hidden=True)] = False,
    instead: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Instead of the paper's own plan.")
    ] = None,
    data: DataOption = None,
    mixtures: MixturesOption = None,
    bank: BankOption = None,
    output: OutputOption = None,
    runs: RunsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 1,
    minutes: MinutesOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    status: StatusOption = False,
) -> None:
    """Run all experiments of a paper and write its tables, with its own figures beside them."""
    del grid  # every paper's experiments are run
    plan(
        instead or paper,
        data=data,
        mixtures=mixtures,
        bank=bank,
        output=output,
        runs=runs,
        cache=cache,
        jobs=jobs,
        minutes=minutes,
        device=device,
        workers=workers,
        status=status,
    )


def show_status(engine: Engine, console: PrintableConsole) -> None:
    """Print a line for every step: how far it is, what it needs, and where it lies."""
    from rich.table import Table  # noqa: PLC0415

    table = Table("step", "kind", "state", "needs", "folder", title=engine.plan.title)
    for name, status in engine.status().items():
        step = engine.plan.steps[name]
        needs = ", ".join(need.of for need in step.needs().values())
        folder = "" if status.folder is None else str(status.folder.relative_to(engine.folder))
        table.add_row(name, step.kind, str(status.state), needs, folder)
    console.print(table)
    console.print(str(engine.folder), markup=False)


def _run(engine: Engine, jobs: int, console: PrintableConsole) -> tuple[bool, bool]:
    """Run what is not done; return whether a step failed, and whether all was stopped."""
    from train.experiments.workers import LOG  # noqa: PLC0415

    began = time.monotonic()
    stopped = False

    def report(outcome: Outcome, done: int, total: int) -> None:
        nonlocal stopped
        stopped = stopped or outcome.ends_all
        ended = outcome.failure or ("done" if outcome.done else "stopped, to be resumed")
        at = f"{done} of {total} steps, {(time.monotonic() - began) / 60:.1f} min"
        console.print(f"{outcome.name}: {ended}{_reached(engine, outcome)} ({at})", markup=False)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    def begun(name: str, folder: Path) -> None:
        log = f"; its log is {folder / LOG}" if jobs > 1 else ""
        console.print(f"{name}: begun{log}", markup=False)

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        with console.status("looking at what is there"):
            engine.status()
        undone = engine.run(jobs=jobs, report=report, begun=begun)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    if waiting := [outcome.name for outcome in undone if outcome.needs_other]:
        console.print(f"not run for lack of these: {', '.join(waiting)}", markup=False)
    return any(outcome.failure for outcome in undone), stopped


def _reached(engine: Engine, outcome: Outcome) -> str:
    """Return what a step that scores reached, for its line."""
    found = {name: scored for name, _, scored in engine.results().scored()} if outcome.done else {}
    scored = found.get(outcome.name)
    if scored is None:
        return ""
    reached = scored.reached
    return (
        f"; PSDS1 {reached.psds1:.3f}, PSDS2 {reached.psds2:.3f}, F1 {100 * reached.event_f1:.2f} %"
    )
