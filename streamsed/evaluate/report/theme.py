"""Charts as SVG within the page: its fonts, its colours, light and dark."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import StringIO
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font: (?:\S+ )*?([\d.]+)px [^;]*")


class Tone(StrEnum):
    """Colours by what they mean. Matplotlib is given a placeholder; the page's CSS has the colour.

    The variable of ``Tone.HIT`` is ``--hit``.
    """

    INK = "#010101"
    MUTED = "#010102"
    GRID = "#010103"
    PAPER = "#010104"
    TRUTH = "#010105"
    HIT = "#010106"
    WRONG = "#010107"
    SCORE = "#010108"
    LINE0 = "#010200"
    LINE1 = "#010201"
    LINE2 = "#010202"
    LINE3 = "#010203"
    LINE4 = "#010204"
    LINE5 = "#010205"
    LINE6 = "#010206"
    LINE7 = "#010207"
    LINE8 = "#010208"
    LINE9 = "#010209"


LINES = tuple(tone for tone in Tone if tone.name.startswith("LINE"))
"""Colours that distinguish lines."""

_VARIABLES = {tone.value: f"var(--{tone.name.lower()})" for tone in Tone}
_PLACEHOLDER = re.compile("|".join(_VARIABLES))
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, in the page's font
    "svg.hashsalt": "streamsed",  # the same figures give the same bytes
    "text.parse_math": False,  # a $ in a label is a $
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "hatch.linewidth": 1.4,
    "axes.edgecolor": Tone.MUTED,
    "axes.labelcolor": Tone.MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": Tone.GRID,
    "grid.linewidth": 0.6,
    "text.color": Tone.INK,
    "xtick.color": Tone.MUTED,
    "ytick.color": Tone.MUTED,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
}


@contextmanager
def themed() -> Iterator[None]:
    """Draw with the report's settings, whatever is in the user's matplotlibrc."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        # The browser has the fonts for what matplotlib's lacks.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def axes(figure: Figure, *, left: float, right: float, bottom: float, top: float) -> Axes:
    """Return axes with fixed margins in inches, so that charts of a kind line up."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )


def svg(figure: Figure, *, name: str, text: str) -> Markup:
    """Return a figure as an ``<svg>`` element.

    Args:
        figure: drawn with :class:`Tone` for colours.
        name: begins the ids in it, which must be unique in the page. The id of an artist with
            the gid ``a`` becomes ``name-a``.
        text: the text for a reader that cannot see it.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 (matplotlib has just written it)
    for parent in tuple(root.iter()):
        for child in tuple(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}:  # would be the page's
                parent.remove(child)
    for element in root.iter():
        _adapt(element, name)
    view_box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view_box, "class": "chart", "role": "img", "aria-label": text})
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 (serialised, so escaped)


def _adapt(element: ET.Element, name: str) -> None:
    """Give an element ids, colours and fonts of the page."""
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif key == "style":
            style = _PLACEHOLDER.sub(lambda found: _VARIABLES[found[0]], value)
            style = _FONT.sub(r"font: \1px var(--sans)", style)
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", style))
        elif "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
