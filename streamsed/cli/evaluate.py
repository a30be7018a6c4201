"""``streamsed evaluate``: the field's metrics of anybody's output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.output import echo, echo_lines

if TYPE_CHECKING:
    from streamsed.evaluate.comparison import Comparison
    from streamsed.evaluate.data import EvaluationData
    from streamsed.evaluate.evaluation import Evaluation

DEFAULT_BOOTSTRAP = 1000
NO_INPUTS: Mapping[str, Path] = MappingProxyType({})

GroundTruthOption = Annotated[
    Path,
    typer.Option(
        metavar="TSV",
        help="True events: filename, onset, offset, event_label. Or soft labels, as MAESTRO Real "
        "has them: a further column soft_label. Or a folder with a file a recording: lists of "
        "sed_eval, Audacity's labels, Raven's selections, JAMS.",
    ),
]


def evaluate(
    *,
    ground_truth: GroundTruthOption,
    durations: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="Lengths of the recordings: filename, duration."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A score file a recording: onset, offset and a column a class."
        ),
    ] = None,
    operating_points: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="An event file a threshold, with the threshold in its name."
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="TSV", help="What was detected, as the ground truth is.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What streamsed replay wrote, in place of all these."),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The recordings: for lengths, and pictures in the report."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Evaluate these classes only, and leave out the others."),
    ] = None,
    only_scored: Annotated[
        bool,
        typer.Option("--only-scored", help="Leave out recordings that have no score file."),
    ] = False,
    subset: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST",
            help="Evaluate these recordings only: one a line, or a column filename.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Operating point out of scores or operating points, without --events; "
            "0.5 by default.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Write metrics.json and report.html there."
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, max=1_000_000, help="Resamples for the confidence intervals; 0: none."),
    ] = DEFAULT_BOOTSTRAP,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Another run to compare with: its metrics.json, or the folder that holds it.",
        ),
    ] = None,
    sounds: Annotated[
        bool,
        typer.Option(
            help="Put the sound of the worst recordings into the report, where --audio has it."
        ),
    ] = True,
    json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json in place of tables.")
    ] = False,
) -> None:
    """Score detections against the ground truth, as DCASE does.

    PSDS needs --scores or --operating-points. F1 and error counts are of --events or, without
    them, of one threshold. Recordings may be called a.wav in one file and a in another.
    """
    from streamsed.cli.extras import require_eval
    from streamsed.errors import ConfigError

    others = {
        "--durations": durations,
        "--scores": scores,
        "--operating-points": operating_points,
        "--events": events,
        "--threshold": threshold,
        "--only-scored": only_scored or None,
        "--subset": subset,
    }
    given = [name for name, value in others.items() if value is not None]
    if replay is not None and given:
        raise ConfigError(f"--replay has everything; {given[0]} cannot be given with it")
    if scores is not None and operating_points is not None:
        raise ConfigError("--scores and --operating-points exclude each other; give one")
    if replay is None and scores is None and operating_points is None and events is None:
        raise ConfigError(
            "there is nothing to evaluate; give --scores, --operating-points, --events or --replay"
        )
    require_eval()
    from rich.console import Console

    from streamsed.evaluate.reading.evaluation_data import (
        DEFAULT_THRESHOLD,
        read_evaluation_data,
        read_replay,
    )

    asked = None if classes is None else _labels(classes)
    with Console(stderr=True).status("reading"):
        if replay is not None:
            data = read_replay(replay, ground_truth=ground_truth, audio=audio, classes=asked)
        else:
            data = read_evaluation_data(
                ground_truth=ground_truth,
                durations=durations,
                events=events,
                scores=scores,
                operating_points=operating_points,
                audio=audio,
                classes=asked,
                threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
                only_scored=only_scored,
                subset=subset,
            )
    inputs = {
        "--ground-truth": ground_truth,
        "--durations": durations,
        "--scores": scores,
        "--operating-points": operating_points,
        "--events": events,
        "--replay": replay,
        "--subset": subset,
        "--compare": compare,
    }
    evaluate_and_show(
        data,
        output=output,
        bootstrap=bootstrap,
        json=json,
        compare_with=compare,
        inputs={name: path for name, path in inputs.items() if path is not None},
        sounds=sounds,
    )


def evaluate_and_show(
    data: EvaluationData,
    *,
    output: Path | None,
    bootstrap: int = DEFAULT_BOOTSTRAP,
    json: bool = False,
    quiet: bool = False,
    compare_with: Path | None = None,
    inputs: Mapping[str, Path] = NO_INPUTS,
    sounds: bool = True,
) -> Evaluation:
    """Measure, print, and write the report.

    Args:
        data: what was read.
        output: folder for ``metrics.json`` and ``report.html``; None for neither.
        bootstrap: resamples for the confidence intervals.
        json: print ``metrics.json`` in place of tables; the notes go to standard error.
        quiet: print nothing.
        compare_with: ``metrics.json`` of another run, or its folder.
        inputs: what was read, by option, for the report.
        sounds: whether the report gets the sound of the worst recordings.
    """
    from rich.console import Console

    from streamsed.evaluate.comparison import check_run, compare
    from streamsed.evaluate.console import figures_console, print_comparison, print_evaluation
    from streamsed.evaluate.measure import evaluate as measure
    from streamsed.evaluate.results import metrics_text

    progress = Console(stderr=True, quiet=quiet)
    if output is not None:
        _make(output)  # before the work, not after it
    if compare_with is not None:
        check_run(compare_with)  # likewise
    with progress.status("measuring") as status:
        evaluation = measure(data, bootstrap=bootstrap, show=status.update)
        comparison = None if compare_with is None else compare(evaluation, compare_with)
        if output is not None:
            status.update("drawing the report")
            _write(evaluation, data, output, inputs=inputs, comparison=comparison, sounds=sounds)
    if json:
        echo_lines(metrics_text(evaluation), nl=False)
        for note in evaluation.notes:
            echo(f"note: {note}", err=True)
    elif not quiet:
        print_evaluation(evaluation, figures_console())
        if comparison is not None:
            print_comparison(comparison, figures_console())
    if output is not None and not json and not quiet:
        echo(f"report: {output / 'report.html'}")
    return evaluation


def _labels(text: str) -> list[str]:
    from streamsed.errors import ConfigError

    labels = [label.strip() for label in text.split(",")]
    if not all(labels):
        raise ConfigError(f"--classes {text!r}: labels with commas between would be right")
    return labels


def _make(folder: Path) -> None:
    from streamsed.errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from error


def _write(
    evaluation: Evaluation,
    data: EvaluationData,
    folder: Path,
    *,
    inputs: Mapping[str, Path],
    comparison: Comparison | None,
    sounds: bool,
) -> None:
    from streamsed.errors import ConfigError
    from streamsed.evaluate.provenance import provenance
    from streamsed.evaluate.report import write_report
    from streamsed.evaluate.results import write_metrics

    try:
        write_metrics(evaluation, folder / "metrics.json")
        write_report(
            evaluation,
            data,
            folder,
            provenance=provenance(inputs),
            comparison=comparison,
            sounds=sounds,
        )
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error
