"""Batches of mixtures and of what they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.audio import audio_samples, read_audio
from train.data.composition import Composition
from train.data.fuss import Mixture

Array = TypeVar("Array")
Other = TypeVar("Other")
Signal = NDArray[np.float32]

_CROPS = 0x63726F70  # of the seed: crops are drawn apart from orders


@dataclass(frozen=True, slots=True)
class MixtureBatch(Generic[Array]):
    """Mixtures of one step; B rows, N samples.

    Attributes:
        mixture: ``(B, N)`` float32.
        parts: ``(B, K, N)``, which sum to it: the sources, or the two mixtures of MixIT.
    """

    mixture: Array
    parts: Array

    def map(self, change: Callable[[Array], Other]) -> MixtureBatch[Other]:
        """Return the batch with both arrays changed."""
        return MixtureBatch(change(self.mixture), change(self.parts))


class MixtureSet(Protocol):
    """Mixtures that can be made."""

    @property
    def takes(self) -> int:
        """Items that one mixture is made of."""
        ...

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def parts(self, items: Sequence[int], rng: np.random.Generator | None) -> Signal:
        """Return the parts ``(K, N)`` of a mixture of items; None of chance is the beginning."""
        ...


@dataclass(frozen=True)
class Sources:
    """Mixtures whose sources are known.

    Attributes:
        mixtures: in FUSS's shape.
        samples: of each crop.
        sample_rate: Hz.
        count: M, zeros where there are fewer sources.
    """

    mixtures: Sequence[Mixture]
    samples: int
    sample_rate: int
    count: int
    takes: int = 1

    def __len__(self) -> int:
        return len(self.mixtures)

    def parts(self, items: Sequence[int], rng: np.random.Generator | None) -> Signal:
        """Return the sources ``(M, N)`` of a mixture."""
        _, sources = self.mixtures[items[0]].read(sample_rate=self.sample_rate)
        first = _first(sources.shape[1], self.samples, rng)
        cut = sources[:, first : first + self.samples]
        parts = np.zeros((self.count, self.samples), np.float32)
        parts[: len(cut), : cut.shape[1]] = cut
        return parts


@dataclass(frozen=True)
class Pairs:
    """Sums of two clips of which nothing else is known.

    Attributes:
        paths: of the clips.
        samples: of each crop.
        sample_rate: Hz.
        gain_db: each clip is changed by at most this.
    """

    paths: Sequence[Path]
    samples: int
    sample_rate: int
    gain_db: float = 0.0
    takes: int = 2

    def __len__(self) -> int:
        return len(self.paths)

    def parts(self, items: Sequence[int], rng: np.random.Generator | None) -> Signal:
        """Return two clips ``(2, N)``; never one with itself."""
        one, other = items
        if one == other:
            other = (other + 1) % len(self.paths)
        return np.stack([self._clip(self.paths[item], rng) for item in (one, other)])

    def _clip(self, path: Path, rng: np.random.Generator | None) -> Signal:
        length = audio_samples(path, sample_rate=self.sample_rate)
        first = _first(length, self.samples, rng)
        cut = read_audio(path, sample_rate=self.sample_rate, start=first, samples=self.samples)
        gain_db = 0.0 if rng is None else rng.uniform(-self.gain_db, self.gain_db)
        clip = np.zeros(self.samples, np.float32)
        clip[: len(cut)] = cut * np.float32(10.0 ** (gain_db / 20.0))
        return clip


def _first(length: int, samples: int, rng: np.random.Generator | None) -> int:
    over = max(length - samples, 0)
    return 0 if rng is None else int(rng.integers(0, over + 1))


class MixtureBatches:
    """Training batches without end, each a function of seed and step.

    Args:
        mixtures: what is drawn from.
        batch: mixtures in each.
        seed: of orders, crops and gains.
        steps_per_epoch: None ends an epoch with the mixtures.
        rank: of this process among ``ranks`` that share each batch.
        ranks: ``batch`` must be a multiple of it.

    Raises:
        DataError: there is too few clips, or the batch cannot be shared.
    """

    def __init__(
        self,
        mixtures: MixtureSet,
        *,
        batch: int,
        seed: int,
        steps_per_epoch: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise DataError(f"{batch} mixtures a batch; must be a multiple of {ranks} processes")
        if len(mixtures) < mixtures.takes:
            raise DataError(f"{len(mixtures)} clips; mixtures are made of {mixtures.takes}")
        self.mixtures, self.seed = mixtures, seed
        self.rank, self.ranks = rank, ranks
        try:
            self.composition = Composition(
                sizes=(len(mixtures),),
                counts=(batch * mixtures.takes,),
                seed=seed,
                steps_per_epoch=steps_per_epoch,
            )
        except ValueError as error:
            raise DataError(f"training clips: {error}") from error

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.composition.steps

    def __getitem__(self, step: int) -> MixtureBatch[Signal]:
        """Read and mix the batch of a step, counted over all epochs."""
        (drawn,) = self.composition.rows(step)
        rows = drawn.reshape(-1, self.mixtures.takes)
        made = [
            self.mixtures.parts(
                items.tolist(), np.random.default_rng([self.seed, _CROPS, step, row])
            )
            for row, items in enumerate(rows)
            if row % self.ranks == self.rank
        ]
        return _together(made)


class OrderedMixtures:
    """One pass over mixtures: each mixture from its beginning, each clip with the next.

    Args:
        mixtures: what is drawn from.
        batch: mixtures at a time; the last batch may be short.
    """

    def __init__(self, mixtures: MixtureSet, *, batch: int) -> None:
        self.mixtures, self.batch = mixtures, batch

    def __len__(self) -> int:
        return math.ceil(len(self.mixtures) / self.batch)

    def __getitem__(self, step: int) -> MixtureBatch[Signal]:
        """Read and mix batch ``step``."""
        count = len(self.mixtures)
        first = step * self.batch
        made = []
        for index in range(first, min(first + self.batch, count)):
            items = [(index + offset) % count for offset in range(self.mixtures.takes)]
            made.append(self.mixtures.parts(items, None))
        return _together(made)


def _together(made: Sequence[Signal]) -> MixtureBatch[Signal]:
    parts = np.stack(made)
    return MixtureBatch(parts.sum(axis=1), parts)
