"""``streamsed-train pseudo-label``: what a detector finds in clips, as labels to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from streamsed.errors import ConfigError
from streamsed.validation_messages import suggest
from train.console import echo


def pseudo_label(
    checkpoint: Annotated[Path, typer.Argument(help="Of a detector that tags, such as an fbcrnn.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data set in DESED's shape.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for strong.tsv, weak.tsv, origin.yaml.")
    ],
    part: Annotated[
        list[str] | None, typer.Option(help="Part to label; repeatable. Else weak and unlabelled.")
    ] = None,
    tag_threshold: Annotated[float, typer.Option(help="A class is a tag above it.")] = 0.5,
    threshold: Annotated[float, typer.Option(help="A frame is active above it.")] = 0.5,
    fit: Annotated[
        str | None,
        typer.Option(metavar="PART", help="Choose both for each class on a part with events."),
    ] = None,
    median: Annotated[float, typer.Option(metavar="S", help="Of the filter of frames.")] = 0.45,
    look_ahead: Annotated[
        list[int] | None,
        typer.Option(
            metavar="FRAMES",
            help="Of scores; else the model's own. Of several, each class has its best on --fit.",
        ),
    ] = None,
    duration: Annotated[float, typer.Option(help="Seconds of a clip; longer are cropped.")] = 10.0,
) -> None:
    """Write strong pseudo labels of weak and unlabelled clips, and where they come from.

    Events are of a clip's tags alone: its own, or else those that are predicted. A clip with a tag
    without any event stays weakly labelled, in weak.tsv.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    from train.checkpoint import load_model  # noqa: PLC0415
    from train.data.desed import Part  # noqa: PLC0415
    from train.pseudo_labels import PARTS, PseudoConfig, label_parts  # noqa: PLC0415

    known = get_args(Part)
    for option, name in (*(("part", name) for name in part or ()), ("fit", fit)):
        if name is not None and name not in known:
            raise ConfigError(f"--{option} {name}: no such part; {suggest(name, known)}")
    aheads = look_ahead or []
    try:
        config = TypeAdapter(PseudoConfig).validate_python(
            {
                "tag_threshold": tag_threshold,
                "threshold": threshold,
                "fit": fit,
                "median_s": median,
                "look_ahead_frames": aheads[0] if len(aheads) == 1 else aheads or None,
                "duration_s": duration,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigError(f"pseudo-label: {key}: {first['msg']}") from error
    parts = cast(tuple[Part, ...], tuple(part)) if part else PARTS
    counts = label_parts(
        load_model(checkpoint), data, output, config=config, origin=checkpoint, parts=parts
    )
    echo(
        f"{output}: {counts['strong']} clips with {counts['events']} events, "
        f"{counts['weak']} with tags alone"
    )
