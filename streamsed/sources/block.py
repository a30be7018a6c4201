"""Block: what every source delivers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Block:
    """A run of samples at a known place on its source's clock.

    Audio that was lost shows as a jump: a block whose ``first_sample`` lies beyond the end of
    the one before it. Nothing else marks a gap, so a gap cannot be forgotten.

    Attributes:
        samples: ``(n,)`` float32, mono, full scale is [-1, 1], at the bundle's sample rate.
        first_sample: index of ``samples[0]`` on the source's clock (samples since it started).
    """

    samples: NDArray[np.float32]
    first_sample: int

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.samples)
