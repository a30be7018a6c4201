"""Configuration of addresses, keys and the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from streamsed.config.strict import PositiveSeconds, Strict, UserPath
from streamsed.publish.authentication import Authentication
from streamsed.publish.endpoints import check_bind, default_binds, overlap, requests_address
from streamsed.publish.journal_folder import state_directory


def _none_or_not_too_often(interval_s: float) -> float:
    if interval_s and not 0.1 <= interval_s <= 3600.0:  # false for NaN
        raise ValueError(f"{interval_s} is neither 0 nor within 0.1 to 3600")
    return interval_s


class CurveConfig(Strict):
    """Who may connect: those whose keys are known; everything is encrypted.

    Attributes:
        secret_key: the daemon's file ``NAME.key_secret``, as ``streamsed keys new`` makes it.
        clients: folder of the public keys of those who may connect, looked at as they come.
    """

    secret_key: UserPath
    clients: UserPath

    def beside(self, file: Path) -> Self:
        """Resolve its paths as those of the configuration file ``file``, there or not yet."""
        folder = file.parent
        return self.model_copy(
            update={"secret_key": folder / self.secret_key, "clients": folder / self.clients}
        )


class PublishConfig(Strict):
    """Where and how messages are published.

    Attributes:
        bind: addresses; by default TCP on loopback, and an ipc socket in the runtime directory.
        requests: addresses where requests are answered; null for those that go with ``bind``, an
            empty list for none.
        ipc_mode: permissions of the files of ipc sockets, in octal.
        curve: keys, on every address; null for none.
        insecure: allow addresses that other machines reach, though without keys anybody there may
            connect and nothing is encrypted.
        heartbeat_s: interval of heartbeats.
        levels_every_s: interval, in a source's audio, of its level messages; 0 for none.
        max_connections: subscribers that may be connected at a time, where the system allows for
            so many; beyond that one that is idle is closed, else the newcomer.
        send_high_water: messages kept for a slow subscriber before it loses the newest.
        linger_s: how long the end waits for subscribers to take the last messages.
        wait_for_subscriber_s: how long the start waits for a first subscriber; 0 for not at all.
    """

    bind: Annotated[tuple[str, ...], Field(min_length=1)] = Field(default_factory=default_binds)
    requests: tuple[str, ...] | None = None
    ipc_mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = "0600"
    curve: CurveConfig | None = None
    insecure: bool = False
    heartbeat_s: PositiveSeconds = 1.0
    levels_every_s: Annotated[float, AfterValidator(_none_or_not_too_often)] = 0.0
    max_connections: Annotated[int, Field(ge=4, le=10_000)] = 256
    send_high_water: Annotated[int, Field(ge=1)] = 10_000
    linger_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    wait_for_subscriber_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0

    @field_validator("ipc_mode", mode="before")
    @classmethod
    def _octal(cls, mode: object) -> object:
        if isinstance(mode, int):  # YAML takes 0660 for an octal number, and 660 for a decimal one
            raise ValueError('must be in quotes, such as "0660"')
        return mode

    @model_validator(mode="after")
    def _binds_allowed(self) -> Self:
        for address in (*self.bind, *self.request_binds):
            check_bind(address, guarded=self.insecure or self.curve is not None)
        if clash := overlap(self.bind, self.request_binds):
            one, other = clash
            if self.requests is None and other in self.request_binds:
                raise ValueError(
                    f"{one!r} is in the way of {other!r}, where requests are answered (the port "
                    "after each of bind); name addresses further apart, or `requests`"
                )
            raise ValueError(f"{one!r} and {other!r} cannot both be bound; drop one of them")
        return self

    @property
    def request_binds(self) -> tuple[str, ...]:
        """Addresses where requests are answered."""
        return self.request_binds_beside(self.bind)

    def request_binds_beside(self, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        """Return the same, where messages are published on ``endpoints``: wildcards resolved."""
        if self.requests is not None:
            return self.requests
        return tuple(requests_address(address) for address in endpoints)

    @property
    def any_port(self) -> bool:
        """Whether the system chooses a port of ``bind`` that the one for requests follows."""
        return self.requests is None and any(address.endswith(":*") for address in self.bind)

    @property
    def ipc_permissions(self) -> int:
        """``ipc_mode`` as a number."""
        return int(self.ipc_mode, 8)

    def beside(self, file: Path) -> Self:
        """Resolve its paths as those of the configuration file ``file``."""
        if self.curve is None:
            return self
        return self.model_copy(update={"curve": self.curve.beside(file)})

    def authentication(self) -> Authentication | None:
        """Read the keys; None if none are required.

        Raises:
            KeysError: they are missing, malformed or not safe from others.
        """
        if self.curve is None:
            return None
        return Authentication.read(secret_key=self.curve.secret_key, clients=self.curve.clients)


class JournalConfig(Strict):
    """Where messages are kept, for catching up and for history.

    Attributes:
        enabled: whether they are kept at all.
        path: folder of the file; by default the service's or the user's state directory.
        keep_days: age beyond which messages are removed.
        max_mb: size of the file (in units of 2^20 bytes) beyond which the oldest are removed.
    """

    enabled: bool = True
    path: UserPath = Field(default_factory=state_directory)
    keep_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 30.0
    max_mb: Annotated[float, Field(ge=1.0, le=1_000_000.0)] = 256.0
