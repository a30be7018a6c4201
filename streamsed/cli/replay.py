"""``streamsed replay``: recordings through the live pipeline at full speed."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.options import (
    BundleOption,
    ConfigOption,
    ProviderOption,
    configuration,
)
from streamsed.cli.output import echo
from streamsed.errors import ConfigError

if TYPE_CHECKING:
    from streamsed.replay.job import Job
    from streamsed.replay.replay import Summary
    from streamsed.sources.gain import GainDb
    from streamsed.sources.mono import Channel

_STOPPED = 128  # a shell's exit code of a command that a signal ended, less the signal


def replay(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Recordings, folders with recordings (searched recursively), or lists: .txt with "
            "a path a line, .tsv with a column filename, or playlists (.m3u, .m3u8, .pls).",
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results.")
    ],
    config: ConfigOption = None,
    bundle: BundleOption = None,
    provider: ProviderOption = None,
    channel: Annotated[
        str,
        typer.Option(
            metavar="CHANNEL", help="mix (of all channels), left, right or a number from 0."
        ),
    ] = "mix",
    gain_db: Annotated[
        str,
        typer.Option(metavar="DB", help="Of recordings that are too quiet; or auto, up to 40."),
    ] = "0",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=1024, help="Processes; by default one a core."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Replay on the workers of a Dask cluster instead: its scheduler's address or "
            "file. Recordings, bundle and DIR must be at the same paths on all machines.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the replay in DIR.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the replay in DIR.")
    ] = False,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV", help="Score the events against these: metrics.json, report.html."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> int:
    """Detect the events in recordings, as fast as this machine can, on all cores.

    DIR gets events.tsv, durations.tsv, a score file a recording and messages.jsonl: what
    streamsed run would publish of them, with the configured thresholds. What cannot be read is
    named, listed in failed.tsv, and makes the exit code 1; the rest is done.
    """
    from streamsed.cli.replay_workplace import workplace
    from streamsed.replay.job import Job
    from streamsed.replay.progress_display import show_progress
    from streamsed.replay.recordings import find_recordings
    from streamsed.replay.replay import Earlier, Replay

    if resume and overwrite:
        raise ConfigError("--resume and --overwrite exclude each other; give one")
    settings = configuration(config, bundle=bundle, provider=provider)
    job = Job.of(settings, output, channel=_channel(channel), gain_db=_gain(gain_db))
    if ground_truth is not None:
        _check_can_evaluate(ground_truth, tuple(job.postprocessing))
    recordings = find_recordings(paths, note=_ignore if quiet else _note)
    earlier = Earlier.RESUME if resume else Earlier.OVERWRITE if overwrite else Earlier.REFUSE
    with workplace(job, recordings, jobs=jobs, scheduler=scheduler) as place:
        prepared = Replay(job, recordings, earlier=earlier, description=place.description)
        with _stop_signal() as received, show_progress(quiet=quiet) as show:
            summary = prepared.run(
                lambda waiting: place.work(waiting, stopped=lambda: bool(received)), show
            )
    if not summary.complete:
        echo(
            f"streamsed: stopped by {signal.Signals(received[0]).name} after "
            f"{summary.totals.done} of {len(recordings)} recordings; "
            "the same command with --resume goes on",
            err=True,
        )
        return _STOPPED + received[0]
    if not quiet:
        echo(_summary_line(summary))
    if ground_truth is not None:
        _evaluate(job, ground_truth, quiet=quiet)
    return 1 if summary.totals.failures else 0


def _note(line: str) -> None:
    echo(f"streamsed: {line}", err=True)


def _ignore(line: str) -> None:
    """Nothing is written with --quiet."""


def _channel(text: str) -> Channel:
    match text:
        case "mix" | "left" | "right":
            return text
        case number if number.isascii() and number.isdecimal():
            return int(number)
    raise ConfigError(f"--channel {text}: no channel; mix, left, right or a number from 0")


def _gain(text: str) -> GainDb:
    if text == "auto":
        return "auto"
    try:
        gain_db = float(text)
    except ValueError:
        gain_db = math.nan
    if not -60.0 <= gain_db <= 60.0:  # false for NaN
        raise ConfigError(f"--gain-db {text}: no gain; -60 to 60, or auto")
    return gain_db


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """Yield a list that SIGINT or SIGTERM goes into; a second one kills at once."""
    signals = (signal.SIGTERM, signal.SIGINT)
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        received.append(number)

    before = [signal.signal(number, note) for number in signals]
    try:
        yield received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _summary_line(summary: Summary) -> str:
    totals = summary.totals
    count = totals.done
    parts = [
        f"{count} recording{'s' if count != 1 else ''}",
        f"{totals.audio_s / 3600:.2f} h",
        f"{totals.events} event{'s' if totals.events != 1 else ''}",
        f"{len(totals.failures)} failed",
    ]
    if summary.kept:
        parts.append(f"{summary.kept} done before")
    speed = summary.processed_s / summary.seconds
    parts.append(f"{summary.seconds:.1f} s, {speed:.0f} x real time")
    return ", ".join(parts)


def _check_can_evaluate(ground_truth: Path, classes: Sequence[str]) -> None:
    """Report now rather than after the replay that its events cannot be scored.

    Raises:
        ConfigError: the extra is not installed.
        DataError: the ground truth cannot be used.
    """
    from streamsed.cli.extras import require_eval

    require_eval()
    from streamsed.evaluate.reading.evaluation_data import check_ground_truth

    check_ground_truth(ground_truth, classes=classes)


def _evaluate(job: Job, ground_truth: Path, *, quiet: bool) -> None:
    """Score what was replayed: ``metrics.json``, ``report.html`` and tables on the terminal."""
    from streamsed.cli.evaluate import evaluate_and_show
    from streamsed.evaluate.reading.evaluation_data import read_replay

    enabled = [label for label in job.postprocessing if label not in job.disabled]
    classes = enabled if job.disabled else None
    data = read_replay(job.folder, ground_truth=ground_truth, classes=classes)
    evaluate_and_show(data, output=job.folder, quiet=quiet)
