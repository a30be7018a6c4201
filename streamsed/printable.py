"""What may be printed for people: text from elsewhere without what a terminal would act upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

# Control characters of both kinds, marks and overrides of the direction of writing, separators of
# lines, what is invisible, tags, and halves of characters. Joiners, which scripts need, may stay.
_ACTS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
_STYLE = re.compile(r"\x1b\[[0-9;]*m")

M = TypeVar("M", bound=BaseModel)


def printable(text: object) -> str:
    r"""Return a text as one line, with ``\x1b`` and the like written out.

    What is left of it moves no cursor, forges no line and hides nothing.
    """
    return _ACTS.sub(_written_out, str(text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable_styled(line: str) -> str:
    """Return a line with its colours; what is between them has been made printable before."""
    styles = [*_STYLE.findall(line), ""]
    parts = zip(_STYLE.split(line), styles, strict=True)
    return "".join(printable(part) + style for part, style in parts)


def printable_json(text: str) -> str:
    """Return JSON of the same content, on one line, with such characters as JSON writes them."""
    return _ACTS.sub(_written_as_json, text)


def printable_model(model: M) -> M:
    """Return a model, such as a message, with every text in it printable."""
    return model.model_copy(
        update={name: _printable_value(value) for name, value in dict(model).items()}
    )


def _printable_value(value: object) -> object:
    if type(value) is str:  # an enumeration's are the program's own
        return printable(value)
    if isinstance(value, BaseModel):
        return printable_model(value)
    if isinstance(value, tuple | list):
        return type(value)(_printable_value(each) for each in value)
    if isinstance(value, Mapping):
        return {_printable_value(key): _printable_value(each) for key, each in value.items()}
    return value


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _written_as_json(match: re.Match[str]) -> str:
    if match[0] in "\t\n\r":
        return " "  # between the parts, where JSON allows them
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
