"""``streamsed bundle``: make bundles of your own models, list and show bundles."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from streamsed.cli.columns import echo_columns
from streamsed.cli.output import echo, echo_lines
from streamsed.errors import BundleError, ConfigError

bundle = typer.Typer(
    help="Make bundles of your own models, and list and show those there are.",
    rich_markup_mode=None,
)


class ActivationName(StrEnum):
    """Values of ``--activation``."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@bundle.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        echo_lines(context.get_help())


@bundle.command("list")
def list_bundles() -> int:
    """List the bundles that are found by name, and where.

    A second one of the same name is not found by it; its folder chooses it.
    """
    from streamsed.bundle import load
    from streamsed.bundle.finding import ENVIRONMENT, find_bundles, model_folders

    rows: list[tuple[str, ...]] = []
    names: set[str] = set()
    for folder in find_bundles():
        try:
            manifest = load(folder).manifest
        except BundleError as error:
            echo(f"cannot be used: {error}", err=True)
            continue
        hidden = folder.name in names
        names.add(folder.name)
        name = f"({folder.name})" if hidden else folder.name
        rate = f"{manifest.sample_rate} Hz"
        rows.append((name, manifest.version, str(len(manifest.classes)), rate, str(folder)))
    if not rows:
        folders = ", ".join(str(folder) for folder in model_folders())
        echo(f"no bundle in {folders}; {ENVIRONMENT} adds folders", err=True)
        return 1
    echo_columns(("name", "version", "classes", "rate", "folder"), rows)
    return 0


@bundle.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="Its name or folder.")],
    *,
    card: Annotated[bool, typer.Option("--card", help="Print its card.")] = False,
) -> int:
    """Verify a bundle, and show what it takes, its classes and its rules."""
    from streamsed.bundle import find_bundle, load

    folder = find_bundle(Path(name))
    manifest = load(folder).manifest
    if card:
        path = folder / "card.md"
        if not path.is_file():
            raise BundleError(f"{path}: this bundle has no card")
        echo_lines(path.read_text(encoding="utf-8"), nl=False)
        return 0
    rate = manifest.sample_rate
    frames = manifest.latency_frames
    echo(f"bundle      {manifest.name} {manifest.version} from {folder}")
    echo(f"takes       mono audio at {rate} Hz, {manifest.chunk_samples / rate:g} s a step")
    echo(f"gives       scores of {manifest.frame_s:g} s, {frames * manifest.frame_s:g} s behind")
    for member in manifest.members:
        numbers = sum(_size(state.shape) for state in member.states)
        echo(
            f"member      {member.name}: {member.graph}, weight {member.weight:g}, look-ahead "
            f"{member.latency_frames * manifest.frame_s:g} s, {numbers} numbers of state a source"
        )
    echo(f"made by     {manifest.provenance.recipe}")
    echo(f"trained on  {manifest.provenance.data}")
    echo(f"licences    {', '.join(manifest.provenance.licences) or '-'}")
    rows = []
    for label in manifest.classes:
        rules = manifest.postprocessing[label]
        values = (rules.enter, rules.exit, rules.median_s, rules.min_on_s, rules.min_off_s)
        rows.append((label, *(f"{value:g}" for value in values)))
    echo_columns(("class", "enter", "exit", "median_s", "min_on_s", "min_off_s"), rows)
    return 0


@bundle.command()
def make(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The exported model.")],
    *,
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Labels in the order of the model's outputs: a text file with one a line, a JSON "
            "list, or a table with a column label, name or display_name.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the new bundle.")
    ],
    name: Annotated[str | None, typer.Option(help="Its name; else that of the folder.")] = None,
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    rate: Annotated[int, typer.Option(help="Hz of the audio that the model takes.")] = 16_000,
    window: Annotated[
        float | None,
        typer.Option(help="Seconds that the model takes at once; else what its shape fixes."),
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds between windows; else half a window.")
    ] = None,
    look_ahead: Annotated[
        float | None,
        typer.Option(
            help="Seconds that scores may come later, to be the mean of more windows; 0 takes the "
            "newest alone. Else all windows that cover a frame count."
        ),
    ] = None,
    activation: Annotated[
        ActivationName, typer.Option(help="Makes probabilities of logits.")
    ] = ActivationName.NONE,
    mel: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="For a model that takes log-mels: n_mels, n_fft, hop_length, win_length, f_min, "
            "f_max, mel_scale, log, offset, mean, std and more; see docs/bundle.md.",
        ),
    ] = None,
    input_name: Annotated[
        str | None, typer.Option("--input", help="Tensor that takes the audio, if not the only.")
    ] = None,
    scores_name: Annotated[
        str | None, typer.Option("--scores", help="Tensor of the scores, if several would fit.")
    ] = None,
    enter: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Score at which an event begins.")
    ] = 0.5,
    leave: Annotated[
        float | None,
        typer.Option("--exit", min=0.0, max=1.0, help="Score below which it ends; else --enter."),
    ] = None,
    median: Annotated[
        float, typer.Option(min=0.0, help="Seconds of the median over scores.")
    ] = 0.0,
    licence: Annotated[str, typer.Option(help="The model's, for the card.")] = "unknown",
    data: Annotated[str, typer.Option(help="What it was trained on, for the card.")] = "unknown",
) -> int:
    """Wrap an ONNX model that maps a window of audio to scores into a bundle.

    The model takes samples, or log-mels that --mel describes, and gives (classes),
    (frames, classes) or (classes, frames) a window.
    """
    if find_spec("onnx") is None:
        raise ConfigError(
            "making bundles needs onnx, which is not installed: pip install 'streamsed[onnx]'"
        )
    from streamsed.bundle.making.labels import read_labels
    from streamsed.bundle.making.log_mel import read_log_mel
    from streamsed.bundle.making.make import BundleRequest, make_bundle
    from streamsed.detect.engine import Engine

    made = make_bundle(
        BundleRequest(
            model=model,
            labels=read_labels(labels),
            output=output,
            name=name,
            version=version,
            rate=rate,
            window_s=window,
            hop_s=hop,
            look_ahead_s=look_ahead,
            activation=activation.value,
            log_mel=None if mel is None else read_log_mel(mel),
            input=input_name,
            scores=scores_name,
            postprocessing={
                "enter": enter,
                "exit": enter if leave is None else leave,
                "median_s": median,
            },
            licence=licence,
            data=data,
        )
    )
    Engine(made.bundle, provider="cpu")  # runs the self-test as the daemon does
    windowing = made.windowing
    hop_s = windowing.hop_samples / rate
    ahead = windowing.look_ahead_hops
    load = made.step_s / hop_s
    echo(
        f"{output}: {len(made.bundle.manifest.classes)} classes; windows of "
        f"{windowing.window_samples / rate:g} s every {hop_s:g} s; self-test passed"
    )
    echo(
        f"scores come {ahead * hop_s:g} s late, as means of {ahead + 1} window(s); a step takes "
        f"{1e3 * made.step_s:.1f} ms of a core each {hop_s:g} s, a load of {load:.1%}"
    )
    if load > 1.0:
        echo("note: that is more than one core can do; a longer --hop would be right")
    if made.interface.single:
        echo("note: the model has no free batch axis, so sources are computed one by one")
    echo(f"try: streamsed run --bundle {output} --source mic")
    return 0


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for axis in shape:
        size *= axis
    return size
