"""Levels for people: decibels, a bar, and the classes that score highest."""

from __future__ import annotations

from streamsed.publish.messages import Level

_LOWEST_DBFS = -60.0
_CELLS = 20


def decibels(dbfs: float | None) -> str:
    """Write a level; None is digital silence."""
    return "-inf" if dbfs is None else f"{dbfs:.1f}"


def bar(level: Level) -> str:
    """Draw 60 dB below full scale: ``#`` up to the RMS, ``-`` from there to the peak."""
    rms, peak = (_cells(dbfs) for dbfs in (level.rms_dbfs, level.peak_dbfs))
    return f"[{('#' * rms).ljust(peak, '-'):<{_CELLS}}]"


def top(level: Level, most: int | None = None) -> str:
    """Name the classes that score highest, but for those that score next to nothing."""
    likely = [each for each in level.top[:most] if each.score >= 0.01]
    return ", ".join(f"{each.label} {each.score:.2f}" for each in likely)


def remarks(level: Level) -> str:
    """Return what is unusual about a level; empty if nothing."""
    if level.digital_silence:
        return "digital silence"
    return f"{level.clipped_samples} samples clipped" if level.clipped_samples else ""


def _cells(dbfs: float | None) -> int:
    share = 0.0 if dbfs is None else 1.0 - dbfs / _LOWEST_DBFS
    return round(_CELLS * min(max(share, 0.0), 1.0))
