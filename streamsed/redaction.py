"""Redaction: no password of a URL stands in a log, a message or an error."""

from __future__ import annotations

import re

HIDDEN = "***"

_SCHEME = r"(?P<kept>\b[a-z][a-z0-9+.-]+:/{1,2})"  # a URL that was taken for a path has one slash
# All of the user part, for a name without a password is often a token. To the last @ of the URL:
# a password that was not percent-encoded may hold slashes and more of the same.
_USER = re.compile(_SCHEME + r"(?=[^\s/?#]*@)\S*@", re.IGNORECASE)
# With a slash in the password before any @, what stands at the place of the port is none.
_BROKEN_USER = re.compile(_SCHEME + r"[^\s/?#:@\[]*:(?!\d*(?:[/?#\s'\"]|$))\S*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<kept>[?&;][\w.-]*(?:pass|pwd|secret|token|key|auth|sig|credential)[\w.-]*=)[^&;#\s'\"]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Hide what is secret in every URL of a text.

    That is the user part, and the values of parameters whose names speak of passwords, keys or
    tokens. Text without such a URL is returned as it is, and so is text that was redacted before.

    Args:
        text: a URL, or anything that may hold some, such as what ffmpeg complains of.
    """
    for pattern in (_USER, _BROKEN_USER):
        text = pattern.sub(rf"\g<kept>{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\g<kept>{HIDDEN}", text)
