"""Authentication of clients: the server's keys, the folder of allowed keys, and ZAP.

libzmq sends a ZAP request (RFC 27) for each client that has proven to own its key.
pyzmq's own authenticator is not used: it refuses for good, after which a client never
tries again, though it be allowed a minute later; and it reads the folder once, whole or not at
all, where here one broken file costs one client.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog
import zmq
from zmq.utils import z85

from streamsed.errors import KeysError
from streamsed.publish.keys import PUBLIC_SUFFIX, KeyPair, public_key

_HANDLER = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_DOMAIN = b"streamsed"
_LOOK_S = 1.0  # at the folder, for keys that were removed
_REMEMBERED = 1_000
_LONGEST_NAME = 64

log = structlog.get_logger()


class AllowedClients:
    """A folder of public keys, each in a file ``NAME.key``; it may change at any time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            KeysError: there is no such folder, or anybody may write to it.
        """
        self.folder = folder
        self._known: dict[Path, tuple[tuple[int, ...], str | KeysError]] = {}
        self._unreadable = False
        try:
            mode = folder.stat().st_mode
        except FileNotFoundError as error:
            raise KeysError(f"{folder}: no such folder; `streamsed keys allow` makes it") from error
        except OSError as error:
            raise KeysError(f"{folder}: cannot be read: {error.strerror}") from error
        if not stat.S_ISDIR(mode):
            raise KeysError(f"{folder}: is no folder; it should hold the public keys of clients")
        if mode & stat.S_IWOTH:
            raise KeysError(f"{folder}: anybody may add a key to it; chmod o-w it")

    def files(self) -> Mapping[Path, str | KeysError]:
        """Return the public key in each file, or why there is none, as the folder is now.

        A folder that cannot be read holds nothing, which is logged once.
        """
        try:
            versions = _versions(self.folder)
        except OSError as error:
            if not self._unreadable:
                log.error("clients_unreadable", folder=str(self.folder), why=error.strerror)
            self._unreadable = True
            versions = {}
        else:
            self._unreadable = False
        before, self._known = self._known, {}
        for path, version in versions.items():
            known = before.get(path)
            self._known[path] = known if known and known[0] == version else (version, _read(path))
        return {path: content for path, (_, content) in self._known.items()}

    def names(self) -> Mapping[str, str]:
        """Return the name of each public key that is allowed now, fit to be printed."""
        return {key: _name(path) for path, key in self.files().items() if isinstance(key, str)}


def _name(path: Path) -> str:
    """Return a file's name as text that any log and any protocol takes, whatever it is made of."""
    name = path.stem.encode(errors="replace").decode()
    return "".join(char if char.isprintable() else "?" for char in name)[:_LONGEST_NAME]


def _versions(folder: Path) -> dict[Path, tuple[int, ...]]:
    """Return what changes when a key's file does, for each key in a folder."""
    versions: dict[Path, tuple[int, ...]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PUBLIC_SUFFIX):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # removed at this moment, or a link to nowhere
                    continue
                except OSError:  # links in a loop, for example: reading it gives the reason
                    versions[Path(entry.path)] = ()
                    continue
                versions[Path(entry.path)] = (
                    status.st_mtime_ns,
                    status.st_size,
                    status.st_ino,
                    status.st_mode,
                    status.st_ctime_ns,
                )
    return versions


def _read(path: Path) -> str | KeysError:
    try:
        if path.stat().st_mode & stat.S_IWOTH:
            return KeysError(f"{path}: anybody may change it; chmod o-w it")
        return public_key(path)
    except KeysError as error:
        return error
    except OSError as error:
        return KeysError(f"{path}: cannot be read: {error.strerror}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """A server's own keys and those of the clients that may connect.

    Attributes:
        pair: the server's own.
        clients: that may connect.
    """

    pair: KeyPair
    clients: AllowedClients

    @classmethod
    def read(cls, *, secret_key: Path, clients: Path) -> Self:
        """Read the server's key and look at the folder.

        Raises:
            KeysError: one of them is missing, malformed or not safe from others.
        """
        return cls(pair=KeyPair.read(secret_key), clients=AllowedClients(clients))

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket require keys, before it is bound."""
        socket.curve_server = True
        socket.curve_secretkey = self.pair.secret.encode()
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a handler, no client is let in


@contextlib.contextmanager
def _logged_failures() -> Iterator[None]:
    """Let nothing but the end of the context end the authenticator's thread."""
    try:
        yield
    except zmq.ContextTerminated:
        raise
    except Exception:
        log.exception("admission_failed")


class ZapAuthenticator:
    """Answers, in a thread of its own, the ZAP requests of all sockets of a context.

    The thread ends with the context.

    Attributes:
        revoked: whether a connected client has been denied since; reset by who acts on it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        clients: AllowedClients,
        *,
        where: str,
        arriving: Callable[[], str],
        on_revoked: Callable[[], None],
    ) -> None:
        """Start the thread.

        Args:
            context: whose sockets' clients; sockets are to be bound after this.
            clients: the allowed ones.
            where: they come to, for the log.
            arriving: returns which clients have just connected, for the log; ZAP names none.
            on_revoked: called, in the thread, when :attr:`revoked` becomes true.
        """
        self.revoked = False
        self._clients = clients
        self._where = where
        self._arriving = arriving
        self._on_revoked = on_revoked
        self._inside: set[str] = set()
        self._refused: set[str] = set()
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind(_HANDLER)
        threading.Thread(target=self._run, name="zap authenticator", daemon=True).start()

    def _run(self) -> None:
        look_at = time.monotonic()
        try:
            while True:
                if self._socket.poll(int(_LOOK_S * 1e3)):
                    request = self._socket.recv_multipart()
                    self._socket.send_multipart(self._answer_whatever_happens(request))
                if time.monotonic() >= look_at:
                    with _logged_failures():
                        self._look()
                    look_at = time.monotonic() + _LOOK_S
        except zmq.ContextTerminated:
            self._socket.close()

    def _answer_whatever_happens(self, request: list[bytes]) -> list[bytes]:
        with _logged_failures():
            return self._answer(request)
        return [_VERSION, request[1], b"300", b"internal error", b"", b""]

    def _look(self) -> None:
        if self._inside - self._clients.names().keys():
            self._inside.clear()
            self.revoked = True
            self._on_revoked()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        _, request_id, _, _, _, mechanism, *credentials = request
        key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" else ""
        name = self._clients.names().get(key)
        if name is None:
            self._note_refused(key)
            # "Temporary error": at any other the client gives up for good.
            return [_VERSION, request_id, b"300", b"unknown key", b"", b""]
        self._refused.discard(key)
        if key not in self._inside:
            log.info(
                "client_let_in",
                client=name,
                address=self._arriving(),
                to=self._where,
            )
        self._inside.add(key)
        return [_VERSION, request_id, b"200", b"OK", name.encode(), b""]

    def _note_refused(self, key: str) -> None:
        if key in self._refused:
            return
        if len(self._refused) == _REMEMBERED:
            self._refused.clear()
        self._refused.add(key)
        log.warning(
            "client_refused",
            key=key,
            address=self._arriving(),
            to=self._where,
            folder=str(self._clients.folder),
        )
