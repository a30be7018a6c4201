"""Addresses of streams: which are understood as they were meant."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from streamsed.redaction import redacted

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "rtp", "udp", "tcp")
"""Of URLs that ffmpeg opens. Files are no streams."""

_LISTENING = {"udp", "rtp", "srt", "tcp"}  # which may wait for who sends, at any address
_CURES = {"#": "%23", "/": "%2F", "?": "%3F", "@": "%40", " ": "%20", "%": "%25"}
_PLAIN = re.compile(r"(?:\w+://)?(?:\[[0-9A-Fa-f:.]*\]?)?[^\s@:#?&=]*(?::\d+/[^\s@:#?&=]*)?")
_REST = re.compile(r"[/?#]")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_FOLLOWS = re.compile(
    r"@(?:[\w-]+(?:\.[\w-]+)+|[\w.-]+:\d+|\[[0-9A-Fa-f:.]+\](?::\d+)?)(?:[/?#]|$)"
)
_HOST = re.compile(r"\[[0-9A-Fa-f:.%\w]+\]|[^\s\[\]<>\"'`{}|\\^%,;=&]+")


def checked(url: str) -> str:
    """Return the URL of a stream as it is, if a program can only take it as it was meant.

    What stands in front of the first slash, question mark or hash is the host. With one of them
    in a password a piece of the password is taken for the host, looked up in the network, and
    shown in the error of not finding it.

    Raises:
        ValueError: it is none; the message shows no part that may be secret.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.lower() == "file":
        raise ValueError(f"{shown(url)!r} is a file; type: file, with path: {shown(url)}")
    if not separator or scheme.lower() not in SCHEMES or not rest:
        raise ValueError(
            f"{shown(url)!r} is no address of a stream; {SCHEMES[0]}://HOST/PATH would be "
            f"right, or one of {', '.join(SCHEMES[1:])}"
        )
    where = f"the address {scheme}://..."
    no_address = f"{shown(url)!r} is no address of a stream: "
    if re.search(r"[\x00-\x1f\x7f]", url):
        raise ValueError(f"{where} has a line break or control character in it")
    authority = _REST.split(rest, 1)[0]
    _refuse_cut_password(where, scheme.lower(), authority, rest[len(authority) :])
    user, _, place = authority.rpartition("@")
    for char in ("@", " "):
        if char in user:
            raise ValueError(_unescaped(where, char))
    if _BARE_PERCENT.search(user):
        raise ValueError(_unescaped(where, "%"))
    if " " in url and not scheme.lower().startswith("rtmp"):  # whose options follow after spaces
        raise ValueError(f"{where} has a space in it; write %20")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        wrong = "no IPv6 address in brackets" if "[" in place else "no port from 1 to 65535"
        raise ValueError(f"{no_address}{wrong} where the host is") from None
    if port == 0:
        raise ValueError(f"{no_address}port 0 is none")
    host = place.removesuffix(f":{port}") if port is not None else place.removesuffix(":")
    anywhere = scheme.lower() in _LISTENING and not host and port is not None
    if not anywhere and (not parts.hostname or not _HOST.fullmatch(host)):
        raise ValueError(f"{no_address}it names no host; {scheme}://HOST/PATH would be right")
    return url


def shown(url: str) -> str:
    """Return what may be shown of a URL that may be wrong in a way that lays its password open."""
    scheme, _, rest = url.partition("://")
    authority = _REST.split(rest, maxsplit=1)[0]
    whole_user = authority.count("@") == 1 and "@" not in rest[len(authority) :]
    return redacted(url) if whole_user or _PLAIN.fullmatch(url) else f"{scheme[:80]}://..."


def host_of(url: str) -> str:
    """Return the name of the host in the URL of a stream, in lower case."""
    return urlsplit(checked(url)).hostname or ""


def _refuse_cut_password(where: str, scheme: str, authority: str, rest: str) -> None:
    """Refuse a URL whose user part goes on after what ends the authority."""
    if not rest or "@" in authority or "@" not in rest:
        return
    _, colon, port = authority.rpartition(":")
    no_port = bool(colon) and not authority.endswith("]") and not re.fullmatch(r"\d*", port)
    # A path may hold an @ too, in HTTP; but then no host with dots or a port stands behind it.
    suspect = scheme.startswith("rtsp") or bool(_HOST_FOLLOWS.search(rest))
    with_host = bool(colon) and suspect and not re.search(r"[.\[]", authority)
    no_path = rest[0] in "?#" and "=" not in rest.partition("@")[0]
    if no_port or with_host or no_path:
        raise ValueError(_unescaped(where, rest[0]))


def _unescaped(where: str, char: str) -> str:
    others = ", ".join(f"{cure} for {one!r}" for one, cure in _CURES.items() if one != char)
    return (
        f"{where} has an unescaped {char!r} in its user name or password; write {_CURES[char]} "
        f"(and {others})"
    )
