"""Redaction: no password of a URL or an option stands in a log, a message or an error.

This is the one place that decides what may be shown. Of a URL that is the scheme, the host, the
path, and parameters that are known to be harmless: whatever else a camera or a server may call its
password is hidden with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = r"(?P<kept>\b[a-z][a-z0-9+.-]+:/{1,2})"  # a URL that was taken for a path has one slash
# All of the user part, for a name without a password is often a token. To the last @ of the URL:
# a password that was not percent-encoded may hold slashes and more of the same.
_USER = re.compile(_SCHEME + r"(?=[^\s/?#]*@)\S*@", re.IGNORECASE)
# With a slash or a space in the password before any @, what stands at the place of the port is
# none; or it is, and what follows the @ is a host of its own.
_BROKEN_USER = re.compile(
    _SCHEME + r"[^\s/?#:@\[]*:(?!\d*(?:[/?#\s'\"]|$))(?:\S*@|[^@\n]*@)"
    r"|(?P<also>\b[a-z][a-z0-9+.-]+:/{1,2})[^\s/?#:@\[.]*:\d+[/?#][^\s@]+@(?=[\w.-]+[:/.]|\[)",
    re.IGNORECASE,
)
_NO_SCHEME = re.compile(
    r"(?<![\w/@:.*%-])[^\s/@:'\"<>=]+:[^\s@/'\"]+@(?=[\w-]+(?:\.[\w-]+)+|[\w.-]+:\d|\[)"
)
_ENCODED = re.compile(
    r"(?P<kept>\b[a-z][a-z0-9+.-]*%(?:25)*3A%(?:25)*2F%(?:25)*2F)[^\s'\"<>&]+", re.IGNORECASE
)
_HEADER = re.compile(
    r"(?P<kept>\b(?:(?:proxy-|www-)?authorization|(?:set-)?cookie2?|x-[a-z0-9-]+|api-?key)\s*:\s*)"
    r"(?=\S)[^\r\n]+",
    re.IGNORECASE,
)
_SCHEME_OF_HEADER = re.compile(
    r"(?P<kept>\bbearer\s+)[\w.~+/=-]+|(?P<basic>\bbasic\s+)(?=[a-z+/]*[\d=])[\w+/]{6,}=*",
    re.IGNORECASE,
)
_GIVEN = re.compile(  # as an option and its value
    r"(?P<kept>(?<![\w-])-(?:headers|cookies)\s+)(?=\S)[^\r\n]+"
    r"|(?P<also>(?<![\w-])--?\w*(?:pass(?:w\w*|phrase)|pwd|token|secret)\w*\s+)\S+",
    re.IGNORECASE,
)
_XTREAM = re.compile(
    r"(?P<kept>/(?:live|movie|series|timeshift)/)[^/\s]+/[^/\s]+(?=/[\d:/-]+(?:\.\w+)?$)"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]+:/{1,2}", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\*\*\*@)?[^\s/?#;'\"]*")
_KEY = re.compile(r"[\w.%~\[\]$-]+(?==)")
_ASSIGNED = re.compile(r"(?P<key>[A-Za-z][\w.-]*)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s&;'\"]+)")

# Anywhere in a name; and words of a name: `wmsAuthSign` has three.
_SECRET_PARTS = re.compile(
    r"pass(?:w|phrase|code)|passwd|pwd|secret|token|apikey|credential|signature|sess|"
    r"auth(?!or(?!i))|sign|hmac|ticket|cookie|loginpas|kennwort|contrase|motdepasse",
    re.IGNORECASE,
)
_HIDDEN_LIST = (
    "pass pas pw psw pswd pword passwort key keys auth authorization authentication sig sign sid "
    "sess cred creds pin otp totp hash hmac mac nonce ticket jwt bearer cookie cookies md5 sha1 "
    "sha256 access hdnts hdnea hdntl policy license"
)
_SECRET_WORDS = frozenset(_HIDDEN_LIST.split())
_HARMLESS_LIST = (
    "user username usr login loginuse channel channels ch chn cam camera stream streams "
    "streamtype streamprofile subtype type realstream real_stream profile quality res resolution "
    "w h width height fps framerate bitrate rate samplerate codec videocodec audiocodec audio "
    "video format fmt transport transportmode proto protocol mode timeout latency rcvlatency "
    "pkt_size buffer_size listen port localport localaddr ttl lang language name n id idx index "
    "hd vbr starttime endtime start end time date dir page version v ver unicast multicast "
    "tcp udp track seq playlist substream main sub onvif"
)
_HARMLESS = frozenset(_HARMLESS_LIST.split())
_SMALL = re.compile(r"\d{1,4}|true|false|yes|no|on|off|\*\*\*", re.IGNORECASE)
_OPTION_LIST = (
    "rtsp_transport rtsp_flags timeout stimeout rw_timeout analyzeduration probesize fflags flags "
    "allowed_media_types reconnect reconnect_streamed reconnect_at_eof reconnect_delay_max "
    "reconnect_on_network_error f thread_queue_size tls_verify buffer_size max_delay "
    "reorder_queue_size seekable icy multiple_requests live_start_index re readrate "
    "protocol_whitelist loglevel"
)
_HARMLESS_OPTIONS = frozenset(_OPTION_LIST.split())
_OPTION = re.compile(r"--?[A-Za-z][\w:-]*")


def redacted(text: str) -> str:
    """Hide what is or may be secret in a text.

    That is, of every URL, the user part, and the values of parameters, in the query or the path,
    whose names are not known to be harmless; the values of headers that identify the client; and,
    anywhere, what is assigned to a name that contains a word for a password or token. Text without
    any of that is returned as it is, and so is text that was redacted before.

    Args:
        text: a URL, or anything that may hold some, such as what ffmpeg complains of.
    """
    for pattern in (_HEADER, _GIVEN, _SCHEME_OF_HEADER, _ENCODED, _USER, _BROKEN_USER, _NO_SCHEME):
        text = pattern.sub(_hidden, text)
    if "=" in text or "/" in text:
        text = _in_urls(text)
    return _ASSIGNED.sub(_assigned, text) if "=" in text else text


def disclosed(value: object, *, key: str = "") -> object:
    """Return what may be shown of a value: a string, or lists and mappings of such.

    Args:
        value: of a log line, a configuration or a message; never changed.
        key: what it is called. Options of ffmpeg are shown by name, with few of their values.
    """
    match value:
        case str():
            return HIDDEN if key and _is_secret(key) and key not in _OUR_OWN else redacted(value)
        case Mapping():
            return {name: disclosed(part, key=str(name)) for name, part in value.items()}
        case list() | tuple():
            shown = tuple(_options(value) if key == "ffmpeg_options" else _elements(value))
            return list(shown) if isinstance(value, list) else shown
    return value


class Secrets:
    """What is secret of one stream, letter for letter: a program may repeat a piece of it.

    Pieces of fewer than four letters are not looked for: they would be found anywhere.
    """

    def __init__(self, url: str, options: Sequence[str] = ()) -> None:
        """Take the URL of a stream, and the options for ffmpeg that come with it."""
        rest = url.partition("://")[2]
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        user, at, _ = authority.rpartition("@")
        name, colon, password = user.partition(":")
        found = {password if colon else name} if at else set()
        pairs = [*_pairs(tail := rest[len(authority) :]), (len(tail), "", 0)]
        for (_, key, begin), (end, _, _) in pairwise(pairs):
            if not _is_harmless(key):
                found.add(re.split(r"[&;]", tail[begin:end], maxsplit=1)[0])
        for option, shown in zip(options, _options(options), strict=True):
            if shown == HIDDEN:
                found |= {option, *re.split(r"[\s;,:=&]+", option)}
        found |= {unquote(secret) for secret in found}
        longest_first = sorted((s for s in found if len(s) >= _SHORTEST), key=len, reverse=True)
        self._pattern = re.compile(
            "|".join(map(re.escape, longest_first)) or r"(?!)", re.IGNORECASE
        )

    def hidden_in(self, text: str) -> str:
        """Return a text without any of it."""
        return self._pattern.sub(HIDDEN, text)


_SHORTEST = 4
_OUR_OWN = frozenset({"secret_key", "key", "keys"})
"""Names in our configuration and log of files with keys, and of public keys."""


def _hidden(found: re.Match[str]) -> str:
    kept = next((part for part in found.groupdict().values() if part), "")
    at = "@" if found[0].endswith("@") else ""
    return f"{kept}{HIDDEN}{at}"


def _options(values: Sequence[object]) -> Iterator[object]:
    before = ""
    for value in values:
        text = str(value)
        if before in _HARMLESS_OPTIONS:
            yield redacted(text)
            before = ""
        elif not before and _OPTION.fullmatch(text):
            yield text
            before = text.lstrip("-")
        else:
            yield HIDDEN
            before = ""


def _elements(values: Sequence[object]) -> Iterator[object]:
    secret = False
    for value in values:
        yield HIDDEN if secret else disclosed(value)
        secret = isinstance(value, str) and value.startswith("-") and _is_secret(value)


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    name = unquote(unquote(key))
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    found = {word.rstrip("0123456789") for word in re.split(r"[^a-z0-9]+", words.lower())}
    return bool(_SECRET_PARTS.search(name) or found & _SECRET_WORDS)


def _is_harmless(key: str) -> bool:
    name = unquote(key).lower()
    return name in _HARMLESS or name.replace("-", "").replace("_", "") in _HARMLESS


def _in_urls(text: str) -> str:
    parts, done = [], 0
    for found in _URL.finditer(text):
        if found.start() < done:
            continue
        quote = text[found.start() - 1 : found.start()]
        end = re.compile(rf"[\s{quote}]" if quote in {"'", '"'} else r"[\s<>]")
        stop = end.search(text, found.end())
        last = stop.start() if stop else len(text)
        begin = _AUTHORITY.match(text, found.end(), last)
        assert begin is not None
        parts += [text[done : begin.end()], _tail(text[begin.end() : last])]
        done = last
    return "".join([*parts, text[done:]])


def _tail(tail: str) -> str:
    """Hide what is secret of what follows the host of a URL."""
    tail = _XTREAM.sub(_hidden, tail)
    # A nested URL is one value to what surrounds it, and was freed of its user part before.
    pairs = list(_pairs(tail))
    if not pairs:
        return tail
    shown = [tail[: pairs[0][0]]]
    for (start, key, begin), following in zip(pairs, [*pairs[1:], (len(tail), "", 0)], strict=True):
        value = tail[begin : following[0]]
        parts = re.match(r"(?P<value>.*?)(?P<after>[&;,_/?#|!:]*)$", value, re.DOTALL)
        assert parts is not None
        secret = _is_secret(key)
        small = _SMALL.fullmatch(parts["value"]) and not secret
        harmless = _is_harmless(key) and not secret
        after = parts["after"] if following[1] else ""
        shown.append(tail[start:begin])
        shown.append(value if small or harmless or not value else HIDDEN + after)
    return "".join(shown)


def _pairs(tail: str) -> Iterator[tuple[int, str, int]]:
    """Yield where each parameter begins, its name, and where its value does.

    Names are what stands before an equals sign. In ``user=admin_password=x`` the second begins
    within the run of letters after the first: at the first place where a name is known.
    """
    hiding = False
    for found in _KEY.finditer(tail):
        start, key = found.start(), found[0]
        if hiding or (start and tail[start - 1] == "="):
            for inner in re.finditer(r"(?:^|(?<=_)|(?<=%26))", key):
                name = key[inner.start() :]
                at_start = inner.start() == 0 and (not start or tail[start - 1] in "=")
                if name and not at_start and (_is_secret(name) or _is_harmless(name)):
                    start, key = start + inner.start(), name
                    break
            else:
                continue  # a part of the value before
        hiding = _is_secret(key)
        yield start, key, found.end() + 1


def _assigned(found: re.Match[str]) -> str:
    key = found["key"]
    before = found.string[: found.start()].rpartition("\n")[2]
    strong = bool(_SECRET_PARTS.search(unquote(key)))
    if not strong and not (_is_secret(key) and _URL.search(before)):
        return found[0]
    return f"{key}={HIDDEN}"
