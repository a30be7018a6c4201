"""``streamsed-train soundscapes``: write a data set in DESED's shape from a recording bank."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.errors import ConfigError
from train.console import PrintableConsole, echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from train.data.desed import Part
    from train.data.fuss import Split


def soundscapes(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the data set.")],
    bank: Annotated[Path, typer.Option(help="Recording bank: a folder with bank.tsv.")],
    weak: Annotated[int, typer.Option(min=0, help="Training clips with tags.")] = 0,
    unlabelled: Annotated[int, typer.Option(min=0, help="Training clips without labels.")] = 0,
    strong: Annotated[int, typer.Option(min=0, help="Training clips with events.")] = 0,
    strong_validation: Annotated[
        int, typer.Option(min=0, help="Clips of training recordings to choose checkpoints on.")
    ] = 0,
    validation: Annotated[
        int, typer.Option(min=0, help="Clips with events, of recordings kept for validation.")
    ] = 0,
    public: Annotated[
        int, typer.Option(min=0, help="Other such clips, in place of the public evaluation.")
    ] = 0,
    mixtures: Annotated[
        int, typer.Option(min=0, help="Mixtures with their sources, to train separation on.")
    ] = 0,
    mixtures_validation: Annotated[
        int, typer.Option(min=0, help="Mixtures of training recordings to choose checkpoints on.")
    ] = 0,
    mixtures_eval: Annotated[
        int, typer.Option(min=0, help="Mixtures of recordings kept for validation.")
    ] = 0,
    recordings: Annotated[
        int,
        typer.Option(min=0, help="Recordings of minutes of each scene, with soft labels; alone."),
    ] = 0,
    scenes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What they are like, a YAML file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clips.")] = 1,
    duration: Annotated[
        float | None, typer.Option(min=1.0, help="Seconds of a clip; else 10, or by --scenes.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes that mix; 0 is one a processor core.")
    ] = 0,
) -> None:
    """Mix soundscapes into a data set in DESED's shape.

    Weak, unlabelled and strong clips are made of the bank's recordings for training, validation
    and public clips of those kept for validation. Mixtures with their sources, in FUSS's shape,
    go to the folder separation in it. Recordings with soft labels are a data set of their own, in
    MAESTRO Real's shape, of the scenes that --scenes names, or else of those of a home. A run that
    was stopped goes on when the same command is given again; a larger number adds clips, and a
    part that is there stays.
    """
    from train.data.bank import Bank  # noqa: PLC0415
    from train.data.soundscape_config import SoundscapeConfig, load_soundscapes  # noqa: PLC0415
    from train.data.soundscape_set import SEPARATION, SoundscapeSet  # noqa: PLC0415
    from train.data.source_set import SourceSet  # noqa: PLC0415
    from train.places import cache_folder, find  # noqa: PLC0415

    if recordings:
        others = (weak, unlabelled, strong, strong_validation, validation, public)
        if any((*others, mixtures, mixtures_validation, mixtures_eval)):
            raise ConfigError("--recordings makes a data set of its own; give it alone")
        _write_recordings(output, bank, recordings, scenes, seed, duration, jobs)
        return
    clips: dict[Part, int] = {
        "strong": strong,
        "weak": weak,
        "unlabelled": unlabelled,
        "strong_validation": strong_validation,
        "validation": validation,
        "public": public,
    }
    splits: dict[Split, int] = {
        "train": mixtures,
        "validation": mixtures_validation,
        "eval": mixtures_eval,
    }
    config = SoundscapeConfig() if scenes is None else load_soundscapes(find("soundscapes", scenes))
    config = config if duration is None else replace(config, duration_s=duration)
    opened, cache = Bank.open(bank), cache_folder()
    parts: dict[str, int] = {}
    writing: list[Callable[..., None]] = []
    if any(clips.values()) or not any(splits.values()):
        soundscape_set = SoundscapeSet(
            output, bank=opened, clips=clips, config=config, seed=seed, cache=cache
        )
        parts |= {str(part): count for part, count in soundscape_set.clips.items()}
        writing.append(soundscape_set.write)
    if any(splits.values()):
        folder = output / SEPARATION
        sources = SourceSet(
            folder, bank=opened, clips=splits, config=config, seed=seed, cache=cache
        )
        parts |= {f"{SEPARATION}/{split}": count for split, count in sources.clips.items()}
        writing.append(sources.write)
    _write(writing, output, total=sum(parts.values()), jobs=jobs)
    counted = ", ".join(f"{count} {part}" for part, count in parts.items())
    echo(f"{output}: {counted}")


def _write_recordings(
    output: Path,
    bank: Path,
    recordings: int,
    scenes: Path | None,
    seed: int,
    duration_s: float | None,
    jobs: int,
) -> None:
    from train.data.bank import Bank  # noqa: PLC0415
    from train.data.recording_set import RecordingSet  # noqa: PLC0415
    from train.data.recordings_config import load_recordings  # noqa: PLC0415
    from train.places import cache_folder, find  # noqa: PLC0415

    config = load_recordings(find("soundscapes", scenes or "maestro"))
    config = config if duration_s is None else replace(config, duration_s=duration_s)
    made = RecordingSet(
        output,
        bank=Bank.open(bank),
        recordings=recordings,
        config=config,
        seed=seed,
        cache=cache_folder(),
    )
    _write([made.write], output, total=made.total, jobs=jobs)
    names = ", ".join(config.scenes)
    echo(f"{output}: {recordings} recordings each of {names}; classes {', '.join(config.classes)}")


def _write(writing: list[Callable[..., None]], output: Path, *, total: int, jobs: int) -> None:
    """Write data sets, with a bar.

    Raises:
        typer.Exit: Ctrl-C was pressed.
    """
    from rich.progress import MofNCompleteColumn, Progress  # noqa: PLC0415

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=PrintableConsole(stderr=True)) as bar:
            task = bar.add_task("soundscapes", total=total)
            for write in writing:
                write(
                    jobs=jobs or os.cpu_count() or 1,
                    progress=lambda count: bar.advance(task, count),
                )
    except KeyboardInterrupt as error:
        echo(f"{output}: stopped; the same command goes on", err=True)
        raise typer.Exit(130) from error
