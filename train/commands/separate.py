"""``streamsed-train separate``: the sources of recordings, as audio and as spectrograms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamsed.errors import ConfigError
from train.console import PrintableConsole, echo


def separate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a separator, or a joint one.")],
    recordings: Annotated[list[Path], typer.Argument(help="Audio files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder a recording goes here.")],
    longest: Annotated[
        float, typer.Option(min=0.1, help="Seconds of each recording that are separated.")
    ] = 60.0,
) -> None:
    """Write the sources of recordings as audio files, with a picture of their spectrograms."""
    from rich.table import Table  # noqa: PLC0415

    from train.checkpoint import load_model, load_separator  # noqa: PLC0415
    from train.data.audio import read_audio  # noqa: PLC0415
    from train.models.jss import JSS  # noqa: PLC0415
    from train.separation.recordings import (  # noqa: PLC0415
        level_dbfs,
        separate_recording,
        write_sources,
    )

    try:
        separator = load_separator(checkpoint)
    except ConfigError:
        model = load_model(checkpoint).model
        if not isinstance(model, JSS):
            raise ConfigError(f"{checkpoint}: a {model.config.kind} separates nothing") from None
        separator = model.separator
    names = [path.stem for path in recordings]
    if len(set(names)) < len(names):
        raise ConfigError(f"{output}: two recordings have one name; separate them one by one")
    rate = separator.config.sample_rate
    columns = [f"source {index}" for index in range(separator.config.sources)]
    table = Table("recording", "s", "mixture", *columns, title="Levels, dBFS")
    for path in recordings:
        audio = read_audio(path, sample_rate=rate, samples=round(longest * rate))
        if not len(audio):
            raise ConfigError(f"{path}: holds no samples")
        sources = separate_recording(separator, audio)
        write_sources(output / path.stem, audio, sources, sample_rate=rate, title=path.name)
        levels = [f"{level_dbfs(part):.1f}" for part in (audio, *sources)]
        table.add_row(path.name, f"{len(audio) / rate:.1f}", *levels)
    PrintableConsole().print(table)
    echo(f"{output}: {len(recordings)} recordings")
