"""CURVE keys, and the files that hold them.

A pair is two files, as czmq and pyzmq write them: ``NAME.key`` holds the public key, which may be
given to anybody; ``NAME.key_secret`` holds both and stays where it was made. Keys are written in
Z85: 40 characters for 32 bytes.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq
from zmq.utils import z85

from streamsed.errors import KeysError

PUBLIC_SUFFIX = ".key"
SECRET_SUFFIX = ".key_secret"  # noqa: S105 - a file name's end

_LENGTH = 40
_LINE = re.compile(r"^\s*(?P<kind>public|secret)-key\s*=\s*[\"']?(?P<key>[^\s\"']*)", re.MULTILINE)
_LONGEST_FILE_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A CURVE key pair, in Z85.

    Attributes:
        public: identifies its owner.
        secret: proves it; is not shown when the pair is printed.
    """

    public: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Draw a new pair."""
        public, secret = zmq.curve_keypair()
        return cls(public=public.decode(), secret=secret.decode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``NAME.key_secret``.

        Raises:
            KeysError: it is missing, holds no pair, or others can read it.
        """
        _check_private(path)
        keys = _read(path)
        secret = keys.get("secret", "")
        if not is_key(secret):
            raise KeysError(f"{path}: holds no secret key; name the file NAME{SECRET_SUFFIX}")
        public = zmq.curve_public(secret.encode()).decode()
        if keys.get("public", public) != public:
            raise KeysError(f"{path}: its public key does not belong to its secret key")
        return cls(public=public, secret=secret)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both files, which must not exist; return the public and the secret one.

        Raises:
            KeysError: they exist, or cannot be written.
        """
        check_name(name)
        public, secret = folder / f"{name}{PUBLIC_SUFFIX}", folder / f"{name}{SECRET_SUFFIX}"
        if public.exists():
            raise KeysError(f"{public}: exists; choose another name or remove it")
        lines = f'    public-key = "{self.public}"\n    secret-key = "{self.secret}"\n'
        _write(secret, f"curve\n{lines}", mode=0o600)
        write_public(public, self.public)
        return public, secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveKeys:
    """What a client needs to connect to a daemon that requires keys.

    Attributes:
        server: the daemon's public key, in Z85.
        own: the client's pair; the daemon must have its public key.
    """

    server: str
    own: KeyPair

    @classmethod
    def read(cls, *, server: str | Path, own: str | Path) -> Self:
        """Read both.

        Args:
            server: the daemon's public key, or the file that holds it.
            own: the client's file ``NAME.key_secret``.

        Raises:
            KeysError: one is missing or malformed, or the secret can be read by others.
        """
        return cls(server=public_key(server), own=KeyPair.read(Path(own)))

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket use them, before it connects."""
        socket.curve_serverkey = self.server.encode()
        socket.curve_publickey = self.own.public.encode()
        socket.curve_secretkey = self.own.secret.encode()


def is_key(text: str) -> bool:
    """Whether a text is 32 bytes in Z85."""
    try:
        return len(text) == _LENGTH and len(z85.decode(text)) == 32
    except (ValueError, KeyError, struct.error):  # not ASCII, no digit of Z85, too large
        return False


def public_key(source: str | Path) -> str:
    """Return a public key that is given as such, or by either file of a pair.

    Raises:
        KeysError: it is neither.
    """
    if isinstance(source, str) and is_key(source) and not Path(source).exists():
        return source
    key = _read(Path(source)).get("public", "")
    if not is_key(key):
        raise KeysError(f"{source}: holds no public key; name the file NAME{PUBLIC_SUFFIX}")
    return key


def write_public(path: Path, key: str) -> None:
    """Write a public key to a file that must not exist.

    Raises:
        KeysError: it exists, or cannot be written.
    """
    _write(path, f'curve\n    public-key = "{key}"\n', mode=0o644)


def check_name(name: str) -> None:
    """Check that a name can be that of a file and stand in a log.

    Raises:
        KeysError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(f"{name!r} is no name for a key; letters, digits, _, - and . would be")


def _read(path: Path) -> dict[str, str]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would hang, and a device might do things
            raise KeysError(f"{path}: is no regular file; it should hold a key")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - not to wait, whatever it has become
            text = file.read(_LONGEST_FILE_BYTES).decode(errors="replace")
    except FileNotFoundError as error:
        raise KeysError(f"{path}: no such file; `streamsed keys new` makes keys") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise KeysError(f"{path}: cannot be read: {why}") from error
    return {match["kind"]: match["key"] for match in _LINE.finditer(text)}


def _write(path: Path, text: str, *, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:  # noqa: PTH123
            file.write(text)
    except FileExistsError as error:
        raise KeysError(f"{path}: exists; choose another name or remove it") from error
    except OSError as error:
        raise KeysError(f"{path}: cannot be written: {error.strerror}") from error


def _check_private(path: Path) -> None:
    """Refuse a secret that others can read; a file of root's may be shared with a group.

    The latter is what systemd's credentials look like, and what lets a service read its key
    without owning it.
    """
    try:
        found = path.stat()
    except OSError:
        return  # reading it gives the reason
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in {0, os.geteuid()}:
        raise KeysError(f"{path}: belongs to another user, who can read it; make keys of your own")
    if mode & (0o007 if found.st_uid == 0 else 0o077):
        raise KeysError(f"{path}: can be read by others (mode {mode:04o}); chmod 600 it")
