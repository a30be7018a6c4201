"""SourceEntry: what the entries of ``sources:`` have in common, whatever their kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from streamsed.registry import Registry
from streamsed.sources.gain import GainDb
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import GainedSource
from streamsed.sources.supervision import Supervision

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _fits_topics(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a source, for it stands in topics; up to 64 letters (a to z), "
            "digits and any of _ . - would be right"
        )
    return name


SourceName = Annotated[str, AfterValidator(_fits_topics)]
"""Stands in topics, so without slash or space."""

Patience = Annotated[float, Field(gt=0.0, le=86_400.0)]


def fit_name(text: str) -> str:
    """Return a name of a source as near to a text as topics allow."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:64] or "source"


class SourceEntry(BaseModel):
    """The configuration of one source.

    A kind is a subclass with a field ``type`` in :mod:`streamsed.sources.kinds`, registered in
    :data:`SOURCES` by the decorator of the function that makes the source.

    Attributes:
        type: the kind of source.
        name: stands in topics, ``event/<name>/<label>/``, so without slash or space; each has its
            own.
        channel: ``mix`` averages all channels; ``left`` is channel 0, ``right`` channel 1, a number
            that channel.
        gain_db: so much louder or softer; ``auto`` makes it slowly louder, by up to 40 dB, while it
            is quiet.
        once: whether it can be read only once, as standard input. Such a source is not opened to
            try it, and a reload leaves it as it is.
        remote: whether it stands elsewhere, so that an address may be wrong where it is missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    once: ClassVar[bool] = False
    remote: ClassVar[bool] = False

    type: str
    name: SourceName
    channel: Channel = "mix"
    gain_db: GainDb = 0.0

    @classmethod
    def of_argument(cls, spec: str, *, name: str | None) -> Self | None:
        """Return what a ``--source`` argument stands for; None if it is written in no form of it.

        By default none is.

        Args:
            spec: the argument without ``NAME=``.
            name: what stood before it; None for a name of the kind's own choice.

        Raises:
            ValueError: it is of this kind, and wrong.
        """
        del spec, name
        return None

    @property
    def supervision(self) -> Supervision:
        """What is done when it delivers nothing: by default it has to be there, and may wait."""
        return Supervision(
            required=True, reconnect=False, patient=True, stall_s=None, silence_s=None
        )

    @property
    def in_real_time(self) -> bool:
        """Whether audio comes as it sounds, and not as fast as it is processed."""
        return True

    def for_trial(self) -> Self:
        """Return what is opened to see whether the source is there."""
        return self

    def beside(self, file: Path) -> Self:
        """Return it with relative paths taken from the folder of the file that it stands in."""
        del file
        return self


class ReturningEntry(SourceEntry):
    """A source that may be lost, and come back.

    Attributes:
        required: it has to be there when the daemon starts; otherwise it may come later.
        reconnect: open it again when it is lost or stalls.
        silence_s: so long nothing but zeros, and its state is ``silent``; None for never.
        stall_s: it stalls when nothing comes for so long, not even zeros.
    """

    required: bool = False
    reconnect: bool = True
    silence_s: Patience | None = 60.0
    stall_s: Patience = 5.0

    @property
    def supervision(self) -> Supervision:
        """See :class:`SourceEntry`."""
        return Supervision(
            required=self.required,
            reconnect=self.reconnect,
            patient=False,
            stall_s=self.stall_s,
            silence_s=self.silence_s,
            ahead=self.remote,
        )


SOURCES: Registry[Callable[[Any], GainedSource]] = Registry(
    "source", package="streamsed.sources.kinds", key="type"
)
"""Kinds of sources, by the function that makes one of its entry and opens nothing.

An example is given a recording and returns a context manager whose value is an entry that delivers
it; see the contract tests.
"""
