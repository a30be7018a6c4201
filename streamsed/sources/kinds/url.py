"""``type: url``: streams from the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator

from streamsed.redaction import disclosed
from streamsed.sources.address import checked, host_of
from streamsed.sources.entry import SOURCES, Patience, ReturningEntry, fit_name
from streamsed.sources.file_names import is_file_url
from streamsed.sources.protocol import GainedSource

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL)


class UrlSource(ReturningEntry):
    """A stream from the network, or any container that ffmpeg reads there.

    Attributes:
        url: address of the stream: rtsp, rtsps, http, https and more; may hold a password.
        stall_s: it stalls when nothing comes for so long.
        ffmpeg: the program to use, in place of the system's or the wheel's.
        tls_verify: refuse a server whose certificate no known authority signed; false for a camera
            that has made its own.
        ffmpeg_options: more options for ffmpeg's input, such as ``[-headers, "X-Key: 1"]``.
    """

    remote: ClassVar[bool] = True

    type: Literal["url"] = "url"
    url: Annotated[str, AfterValidator(checked)]
    stall_s: Patience = 10.0
    tls_verify: bool = True
    ffmpeg: Path | None = None
    ffmpeg_options: tuple[str, ...] = ()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Return what may be shown of it: it may stand in a traceback."""
        for name, value in super().__repr_args__():
            yield name, disclosed(value, key=name or "")

    @classmethod
    def of_argument(cls, spec: str, *, name: str | None) -> Self | None:
        """Return what ``SCHEME://...`` stands for; it has to be there at the start."""
        if is_file_url(spec) or not _URL.fullmatch(spec):
            return None
        return cls(name=fit_name(host_of(spec)) if name is None else name, url=spec, required=True)


@SOURCES.register(UrlSource)
def make_url(config: UrlSource) -> GainedSource:
    """Make the reader of a stream, by ffmpeg in a process of its own."""
    from streamsed.sources.url import Url  # noqa: PLC0415

    return Url(
        config.name,
        config.url,
        channel=config.channel,
        stall_s=config.stall_s,
        tls_verify=config.tls_verify,
        ffmpeg=config.ffmpeg,
        options=config.ffmpeg_options,
    )
