"""Options that several commands share, and how they change the configuration."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamsed.errors import ConfigError

if TYPE_CHECKING:
    from streamsed.config import Config
    from streamsed.publish.keys import CurveKeys

DEFAULT_FILE = Path("config.yaml")
ORIGIN = "command line"


class ProviderName(StrEnum):
    """Values of ``--provider``."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Configuration file; by default ./config.yaml, if there is one."
    ),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="[NAME=]SOURCE",
        help="In place of the configured sources; repeatable. mic, mic:DEVICE (see streamsed "
        "devices), the URL of a stream (rtsp, http, ...), the path of a recording, - (16-bit "
        "samples at 16 kHz on standard input), or pipe:FORMAT@RATE[xCHANNELS][,live] with a FORMAT "
        "of ffmpeg's, such as s16le, s24le or f32le.",
    ),
]
BundleOption = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME|DIR", help="The model bundle: its name (see streamsed bundle list) or folder."
    ),
]
ProviderOption = Annotated[ProviderName | None, typer.Option(help="Hardware for inference.")]
BindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bind",
        metavar="ADDRESS",
        help="Address to publish on, in place of the configured; repeatable.",
    ),
]
ServerKeyOption = Annotated[
    str | None,
    typer.Option(
        "--server-key",
        metavar="KEY|FILE",
        help="The daemon's public key, if it requires keys: itself or the file NAME.key.",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="Your own NAME.key_secret, whose public key it was given."
    ),
]


def curve_keys(server_key: str | None, key: Path | None) -> CurveKeys | None:
    """Read the keys that the options name; None without them.

    Raises:
        ConfigError: there is one without the other.
        KeysError: a key cannot be used.
    """
    from streamsed.publish.keys import CurveKeys

    if server_key is None and key is None:
        return None
    if server_key is None or key is None:
        missing = "--key" if key is None else "--server-key"
        raise ConfigError(
            f"{missing} is missing: it takes the daemon's public key and a pair of your own; "
            f"see streamsed keys --help"
        )
    return CurveKeys.read(server=server_key, own=key)


def configuration(
    path: Path | None,
    *,
    sources: list[str] | None = None,
    bundle: Path | None = None,
    provider: ProviderName | None = None,
    publish: dict[str, Any] | None = None,
    log: dict[str, Any] | None = None,
) -> Config:
    """Read the configuration file and apply the options to it; None leaves an entry alone.

    Raises:
        ConfigError: one or the other makes no sense.
    """
    from streamsed.config import Config, override, read_config
    from streamsed.sources.config import parse_source

    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    config = read_config(path) if path is not None else Config()
    changes: dict[str, Any] = {
        "sources": tuple(parse_source(text) for text in sources) if sources else None,
        "bundle": bundle,
        "provider": provider and provider.value,
        "publish": publish and {k: v for k, v in publish.items() if v is not None},
        "log": log and {k: v for k, v in log.items() if v is not None},
    }
    changes = {key: value for key, value in changes.items() if value}
    return override(config, changes, origin=ORIGIN) if changes else config
