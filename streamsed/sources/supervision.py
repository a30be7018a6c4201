"""Supervision: how sources are treated that deliver nothing, or nothing but zeros."""

from __future__ import annotations

from dataclasses import dataclass


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
