"""Why ffmpeg failed: the one line of its output that matters, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_AUDIO = "there is no audio in it"
UNTRUSTED = "the server's certificate is not trusted"

_CONTEXT = re.compile(r"^(?:\[[^\]]*\]\s*)+")  # such as [http @ 0x7f3a4c001b40]
# A stream's video is not wanted, so what is wrong with it is no reason for anything.
_OF_VIDEO = re.compile(
    r"^\[(?:h26[345]|hevc|mpeg[124]\w*|mjpeg\w*|vp[89]|vvc|av1|libdav1d|vc1|swscaler|yuv\w*)\b"
    r"|Could not find codec parameters for stream \d+ \(Video|codec frame size is not set",
    re.IGNORECASE,
)
# Lines that come after what they are about, or with everything.
_VAGUE = re.compile(
    r"^(?:Last message repeated|To ignore this, add|Error opening (?:input|output) files?\b"
    r"(?!.*: (?!Input/output error|Invalid argument|Option not found))"
    r"|Error opening output|Error parsing options for|Failed to set value|Conversion failed"
    r"|Error splitting the argument list|Error (?:marking|initializing|submitting|sending)"
    r"|Nothing was written into output|Consider increasing|Exiting |Terminating "
    r"|Guessed Channel Layout|deprecated|Use -|Input/output error$|Task finished with error"
    r"|\(?Invalid argument\)?$|Conversion failed)",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^(?:Last message repeated|To ignore this|Error opening output|Error parsing|Failed to set)",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^(?:\w+://\S+: |Error opening input(?: files?)?(?: [^:]*)?: |Error during demuxing: )"
)
_PLAIN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"Stream map .*matches no streams|does not contain any (?:audio )?stream", NO_AUDIO),
        (r"certificate verify failed|certificate.*(?:not trusted|unknown|expired)", UNTRUSTED),
        (r"SSL routines:[^:]*:(?P<reason>.+)", r"TLS fails: \g<reason>"),
        (r"Server returned 4XX Client Error.*", "the server refuses the request (4xx)"),
        (r"Server returned 5XX Server Error.*", "the server fails (5xx)"),
        (r"method (?P<m>\w+) failed: (?P<code>\d+) \((?P<t>.*)\)", r"\g<m>: \g<code> \g<t>"),
        (r"Connection to \S+ failed: (?:Input/output error|Error number.*)", "no connection"),
        (
            r"Connection to \S+ failed: (?P<reason>.*(?:timed out|unreachable|No route).*)",
            r"no connection: \g<reason>",
        ),
        (r"Connection to \S+ failed: (?P<reason>.+)", r"\g<reason>"),
        (
            r"Failed to resolve hostname (?P<host>\S*): (?P<reason>.*)",
            r"unknown host \g<host> (\g<reason>; it does not resolve)",
        ),
        (r"(?P<what>partial file)", r"it is cut short (\g<what>)"),
        (
            r"(?P<what>Invalid data found when processing input|moov atom not found)",
            r"nothing in it can be decoded (\g<what>)",
        ),
    )
)


def first_reason(lines: Iterable[str]) -> str | None:
    """Return the reason among ffmpeg's lines, in one plain line; None if there is none.

    That is the first of those that are not vague: what follows is what comes of it.

    Args:
        lines: of its standard error, at ``-loglevel error``.
    """
    weak = None
    for raw in lines:
        if _OF_VIDEO.search(raw) or "[Eval @" in raw:
            continue
        line = _CONTEXT.sub("", raw).strip()
        if not line:
            continue
        bare = _LEADING.sub("", line).strip()
        weak = weak or (None if _NOISE.search(line) else bare)
        if _VAGUE.search(line) or _VAGUE.search(bare):
            continue
        return _plain(bare)
    return None if weak is None else _plain(weak)


def _plain(line: str) -> str:
    for pattern, plain in _PLAIN:
        if found := pattern.search(line):
            return found.expand(plain)
    return line.rstrip(".")
