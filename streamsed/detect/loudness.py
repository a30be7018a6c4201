"""Loudness: whether a source is so quiet, or so mixed, that little can be detected in it."""

from __future__ import annotations

import math

QUIET_DBFS = -50.0
"""RMS of the loudest second below which detection suffers: `python benchmarks/gain.py`."""
CANCELS_DB = -20.0
"""The mix of two channels that have nothing in common lies 3 dB below them, of eight 9 dB."""
FIRST_S = 60.0
LATER_S = 600.0  # a room may be quiet all night: it is not reported again and again
SHORTEST_S = 5.0  # of a recording that is judged at its end
_SUGGESTED_DBFS = -30.0


class Loudness:
    """Judges a source by the levels of its audio, on the sample clock.

    Attributes:
        remark: for people; None while nothing is odd.
    """

    def __init__(self, sample_rate: int, *, first_s: float = FIRST_S) -> None:
        """Begin; nothing is odd.

        Args:
            sample_rate: Hz.
            first_s: audio before the first judgement.
        """
        self.remark: str | None = None
        self._sample_rate = sample_rate
        self._first_s = first_s
        self.restart()

    def restart(self) -> None:
        """Begin anew, with another stream."""
        self.remark = None
        self._window_s = self._first_s
        self._samples = 0
        self._loudest_dbfs = -math.inf
        self._quiet: str | None = None

    def add(self, *, energy: float, samples: int, mix_loss_db: float | None) -> bool:
        """Note about a second of audio; return whether :attr:`remark` has changed.

        Args:
            energy: sum of its squares.
            samples: how many.
            mix_loss_db: how far the mix lies below the channels; None if that is not known.
        """
        if energy > 0.0:
            self._loudest_dbfs = max(self._loudest_dbfs, 10.0 * math.log10(energy / samples))
        self._samples += samples
        if self._samples >= self._window_s * self._sample_rate:
            self._quiet = self._judge()
            self._window_s, self._samples, self._loudest_dbfs = LATER_S, 0, -math.inf
        return self._change(_cancels(mix_loss_db) or self._quiet)

    def end(self, *, shortest_s: float = SHORTEST_S) -> bool:
        """Judge a stream that has ended within its first window; return as :meth:`add` does.

        Args:
            shortest_s: less audio than this is not judged.
        """
        if self._window_s == LATER_S or self._samples < shortest_s * self._sample_rate:
            return False
        return self._change(self.remark or self._judge())

    def _judge(self) -> str | None:
        if not -math.inf < self._loudest_dbfs < QUIET_DBFS:  # nothing but zeros is silence
            return None
        seconds = self._samples / self._sample_rate
        gain_db = 5 * round((_SUGGESTED_DBFS - self._loudest_dbfs) / 5)
        return (
            f"very quiet: the loudest of {seconds:.0f} s at {self._loudest_dbfs:.0f} dBFS; if "
            f"that was not silence, gain_db: {min(gain_db, 60)} (or auto) would be right"
        )

    def _change(self, remark: str | None) -> bool:
        changed, self.remark = remark != self.remark, remark
        return changed


def _cancels(mix_loss_db: float | None) -> str | None:
    if mix_loss_db is None or mix_loss_db > CANCELS_DB:
        return None
    # Without the figure, which changes all the time.
    return "its channels cancel each other in the mix; channel: left, or 0, would be right"
