"""``streamsed keys``: make CURVE keys, and allow or deny clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.columns import echo_columns
from streamsed.cli.options import ConfigOption, configuration
from streamsed.cli.output import echo, echo_lines
from streamsed.errors import ConfigError, KeysError

if TYPE_CHECKING:
    from streamsed.publish.authentication import AllowedClients

keys = typer.Typer(
    help="Make CURVE keys, and allow or deny clients of the daemon.", rich_markup_mode=None
)

ClientsOption = Annotated[
    Path | None,
    typer.Option(
        "--clients",
        metavar="DIR",
        help="Folder of the public keys that may connect; by default that of the configuration.",
    ),
]


@keys.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        echo_lines(context.get_help())


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose keys: server, or the name of a client.")],
    *,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where the two files go.")] = Path(
        "keys"
    ),
) -> int:
    """Make a pair of keys, of a daemon or of a client: NAME.key and NAME.key_secret."""
    from streamsed.publish.keys import KeyPair

    pair = KeyPair.generate()
    public, secret = pair.write(folder, name)
    echo(f"{secret}  secret: it stays where it is needed")
    echo(f"{public}  public: give it to the other side, or the key itself:")
    echo(pair.public)
    return 0


@keys.command()
def show(
    file: Annotated[Path, typer.Argument(help="NAME.key or NAME.key_secret.")],
) -> int:
    """Print the public key of a file."""
    from streamsed.publish.keys import public_key

    echo(public_key(file))
    return 0


@keys.command()
def allow(
    key: Annotated[str, typer.Argument(metavar="KEY|FILE", help="A client's public key.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="What to call the client; by default as the file is called.")
    ] = None,
    clients: ClientsOption = None,
    config: ConfigOption = None,
) -> int:
    """Let a client connect. The running daemon takes effect at once."""
    from streamsed.publish.keys import PUBLIC_SUFFIX, check_name, public_key, write_public

    public = public_key(key)
    if name is None and public == key:
        raise ConfigError("--name is missing: what to call the client whose key this is")
    name = Path(key).stem if name is None else name
    check_name(name)
    folder = _folder(clients, config)
    if folder.exists():
        known = _allowed(folder).names()
        if public in known:
            raise KeysError(f"{folder}: the key is allowed already, as {known[public]!r}")
    write_public(folder / f"{name}{PUBLIC_SUFFIX}", public)
    echo(f"{name} may connect: {public}")
    return 0


@keys.command()
def deny(
    name: Annotated[str, typer.Argument(help="As `streamsed keys list` shows it.")],
    *,
    clients: ClientsOption = None,
    config: ConfigOption = None,
) -> int:
    """Let a client connect no longer; a running daemon disconnects it within seconds."""
    from streamsed.validation_messages import suggest

    files = {path.stem: path for path in _allowed(_folder(clients, config)).files()}
    if name not in files:
        known = suggest(name, files) if files else "no client may"
        raise KeysError(f"{name!r} may not connect in the first place; {known}")
    try:
        files[name].unlink()
    except OSError as error:
        raise KeysError(f"{files[name]}: cannot be removed: {error.strerror}") from error
    echo(f"{name} may not connect any more")
    return 0


@keys.command(name="list")
def list_clients(*, clients: ClientsOption = None, config: ConfigOption = None) -> int:
    """List who may connect."""
    allowed = _allowed(_folder(clients, config))
    rows = [
        (path.stem, content if isinstance(content, str) else f"cannot connect: {content}")
        for path, content in sorted(allowed.files().items())
    ]
    if rows:
        echo_columns(("client", "public key"), rows)
    else:
        echo(f"{allowed.folder}: no client may connect; streamsed keys allow lets clients in")
    return 0


def _allowed(folder: Path) -> AllowedClients:
    from streamsed.publish.authentication import AllowedClients

    return AllowedClients(folder)


def _folder(clients: Path | None, config: Path | None) -> Path:
    if clients is not None:
        return clients
    settings = configuration(config)
    if settings.publish.curve is None:
        raise ConfigError(
            f"{settings.origin}: publish.curve is not set, so there is no folder of clients; "
            f"name one with --clients"
        )
    return settings.publish.curve.clients
