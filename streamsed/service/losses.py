"""Loss bursts: reported once when audio begins to be lost, and once when that is over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BurstChange(Enum):
    """A change of a burst."""

    BEGUN = "begun"
    ENDED = "ended"


@dataclass(slots=True)
class LossBurst:
    """Divides losses into bursts, on the sample clock.

    Attributes:
        quiet_samples: a burst ends when this much audio has passed without a loss.
        total: samples lost so far, in all bursts.
        bursts: how many there were.
        active: whether one is going on.
        in_burst: samples lost in the current burst, or the last.
    """

    quiet_samples: int
    total: int = 0
    bursts: int = 0
    active: bool = False
    in_burst: int = 0
    _last_loss: int = 0
    _before: int = 0

    def update(self, total: int, *, at_sample: int) -> BurstChange | None:
        """Update the count of what has been lost by ``at_sample``.

        Args:
            total: samples lost since the start, or since :meth:`restart`; never falls.
            at_sample: where the source's audio has got to.
        """
        total += self._before
        new = total - self.total
        self.total = total
        if new > 0:
            self._last_loss = at_sample
            if self.active:
                self.in_burst += new
                return None
            self.active, self.in_burst = True, new
            self.bursts += 1
            return BurstChange.BEGUN
        if self.active and at_sample - self._last_loss >= self.quiet_samples:
            self.active = False
            return BurstChange.ENDED
        return None

    def restart(self, *, counter_too: bool) -> None:
        """Go on with audio whose samples count anew; a burst is over.

        Args:
            counter_too: whether what is given to :meth:`update` begins at 0 again as well.
        """
        self.active = False
        self._last_loss = 0
        if counter_too:
            self._before = self.total
