"""``streamsed-train calibrate``: check everything, replay, fit, show, and write if asked to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsed.bundle import load
from streamsed.errors import ConfigError, DataError
from streamsed.evaluate.console import figures_console
from streamsed.replay.progress_display import show_progress
from streamsed.replay.recordings import find_recordings
from train.console import echo
from train.postprocess.calibration import CalibrationConfig, calibrate
from train.postprocess.calibration_report import CalibrationReport
from train.postprocess.choices import Censored, WindowMethod
from train.postprocess.labels import read_training_durations
from train.postprocess.replayed import check_labels, replay_scores
from train.postprocess.rewriting import check_writable, write_calibrated
from train.postprocess.windows import Rule, Window, WindowConfig, class_windows


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line has.

    Attributes:
        bundle: folder of the bundle.
        recordings: files, folders and lists.
        ground_truth: table of true events.
        config: what for, and how.
        window_config: how windows are made of labels.
        training_labels: table of training labels.
        training_durations: table of the lengths of the training recordings.
        target: where to write the bundle; None to show only.
        version: of the bundle that is written.
    """

    bundle: Path
    recordings: Sequence[Path]
    ground_truth: Path
    config: CalibrationConfig
    window_config: WindowConfig
    training_labels: Path | None = None
    training_durations: Path | None = None
    target: Path | None = None
    version: str | None = None


def run(request: Request) -> None:
    """Do it.

    Raises:
        StreamsedError: one line names what cannot be done; nothing was written.
    """
    _check_options(request)
    manifest = load(request.bundle).manifest
    check_labels(request.ground_truth, manifest.classes)
    notes: list[str] = []
    windows = _windows(request, manifest.classes, notes)
    if request.target is not None:
        check_writable(request.target, replace=request.target == request.bundle)
    recordings = find_recordings(request.recordings)
    request.config.check_recordings(len(recordings))
    with show_progress(quiet=False) as show:
        replayed = replay_scores(request.bundle, recordings, request.ground_truth, show=show)
    echo("streamsed-train: fitting", err=True)
    calibration = calibrate(
        replayed,
        request.config,
        windows_s=None if windows is None else {k: w.window_s for k, w in windows.items()},
    )
    report = CalibrationReport(
        calibration=calibration,
        config=request.config,
        events={label: len(events) for label, events in replayed.truth.items()},
        recordings=len(recordings),
        hours=replayed.clips.hours,
        ground_truth=_name(request.ground_truth),
        ground_truth_sha256=_sha256(request.ground_truth),
        windows_from=None if windows is None else _in_words(request, windows),
        notes=(*replayed.data.notes, *notes, *calibration.notes),
    )
    report.show(figures_console())
    if request.target is None:
        echo("nothing was written: -o FOLDER writes a new bundle, --write changes this one")
        return
    write_calibrated(
        request.bundle,
        request.target,
        postprocessing=calibration.fitted,
        card_section=report.card_section(),
        figures=report.manifest_figures(),
        version=request.version,
    )
    echo(f"wrote {request.target}")


def _check_options(request: Request) -> None:
    """Refuse what contradicts itself, rather than leave one half of it out."""
    method = request.config.windows
    if request.config.from_labels and request.training_labels is None:
        raise ConfigError(
            f"--windows {method}: --training-labels is missing, the strong labels of the "
            "*training* recordings; durations of the validation recordings would leak into "
            "what is validated on them"
        )
    if not request.config.from_labels and request.training_labels is not None:
        raise ConfigError(
            f"--training-labels is for --windows {WindowMethod.EVENT_SPECIFIC} and "
            f"{WindowMethod.AVERAGE}; it is {method}"
        )
    if request.training_labels is None and request.training_durations is not None:
        raise ConfigError(
            "--training-durations goes with --training-labels: the lengths of its recordings"
        )
    if request.window_config.censored is Censored.EXCLUDE and request.training_durations is None:
        raise ConfigError(
            "--censored exclude: --training-durations is missing, the lengths of the recordings of "
            "--training-labels, without which no event can be seen to fill its recording"
        )
    if request.target is None and request.version is not None:
        raise ConfigError("--version goes with -o or --write: nothing is written without")


def _windows(
    request: Request, classes: Sequence[str], notes: list[str]
) -> dict[str, Window] | None:
    """Return the windows that are made of training labels, if they are."""
    if request.training_labels is None:
        return None
    durations = read_training_durations(
        request.training_labels, classes, lengths=request.training_durations, note=notes.append
    )
    if _same_file(request.training_labels, request.ground_truth):
        notes.append(
            "windows are made of the very labels that are validated on, as asked; "
            "figures of the folds are not free of them"
        )
    try:
        windows = class_windows(durations, classes, request.window_config)
    except DataError as error:
        raise DataError(f"{request.training_labels}: {error}") from error
    if censored := sum(window.censored for window in windows.values()):
        kept = "count with what can be seen of them"
        if request.window_config.censored is Censored.EXCLUDE:
            kept = "are left out"
        notes.append(
            f"{_name(request.training_labels)}: {censored} of "
            f"{sum(window.events for window in windows.values())} events fill their recordings "
            f"and {kept}"
        )
    return windows


def _in_words(request: Request, windows: Mapping[str, Window]) -> str:
    assert request.training_labels is not None
    config = request.window_config
    source = f"durations in `{_name(request.training_labels)}`"
    if config.rule is Rule.MEAN:
        return f"{config.eta:.3g} times the mean of the {source}"
    plain = [label for label, window in windows.items() if not window.knee]
    without = f" (no knee, so the mean of all: {', '.join(plain)})" if plain else ""
    return f"{config.eta:.3g} times the mean up to the knee of the {source}{without}"


def _name(path: Path) -> str:
    """Return a name with the folder's, for tables are all called alike; but no path."""
    path = path.resolve()
    return f"{path.parent.name}/{path.name}"


def _same_file(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (
        one.is_file() and other.is_file() and _sha256(one) == _sha256(other)
    )


def _sha256(path: Path) -> str:
    """Return the hash of a table, or of all in a folder of tables."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
