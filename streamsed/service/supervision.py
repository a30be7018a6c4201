"""Supervision: how sources are treated that deliver nothing, or nothing but zeros."""

from __future__ import annotations

from dataclasses import dataclass

from streamsed.sources.config import FileSource, PipeSource, SourceConfig, UrlSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How long a source may be quiet, and what is done then.

    Attributes:
        required: whether it has to be there when the daemon starts.
        reconnect: whether it is opened again when it was lost, or stalls.
        patient: whether one that is not opened again may stall, and go on by itself.
        stall_s: it stalls when nothing has come for so long; None for never.
        silence_s: nothing but zeros for so long is digital silence; None for never.
        ahead: whether audio may come before its time, as a server sends what it has kept; it can
            wait then.
    """

    required: bool
    reconnect: bool
    patient: bool
    stall_s: float | None
    silence_s: float | None
    ahead: bool = False

    @classmethod
    def of(cls, config: SourceConfig) -> Supervision:
        """Return how a source is supervised."""
        match config:
            case FileSource():
                return cls(
                    required=True, reconnect=False, patient=True, stall_s=None, silence_s=None
                )
            case PipeSource():
                return cls(
                    required=True,
                    reconnect=False,
                    patient=True,
                    stall_s=config.stall_s,
                    silence_s=config.silence_s,
                )
        return cls(
            required=config.required,
            reconnect=config.reconnect,
            patient=False,
            stall_s=config.stall_s,
            silence_s=config.silence_s,
            ahead=isinstance(config, UrlSource),
        )
