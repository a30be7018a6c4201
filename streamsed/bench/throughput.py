"""How many streams one core sustains: detection end to end, without sources and sockets."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle import Bundle
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.sources.block import Block

_WARM_UP_ROUNDS = 3
_LEVELS = 6


@dataclass(frozen=True, slots=True)
class Round:
    """Times of a round: one hop of audio of every stream, from samples to transitions.

    Attributes:
        streams: how many there were.
        seconds: ``(n,)`` of each round.
        processor_s: of all rounds together, without the time that others had the core.
    """

    streams: int
    seconds: NDArray[np.float64]
    processor_s: float

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the rounds was done."""
        return float(np.quantile(self.seconds, share))

    @property
    def processor_share(self) -> float:
        """Share of the time in which the core was ours."""
        return min(self.processor_s / float(self.seconds.sum()), 1.0)


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one core computes.

    Attributes:
        hop_s: audio of a round.
        single: rounds of one stream alone.
        full: rounds of the most streams whose 99th percentile stays within the hop; of one
            stream if not even that does.
        by_processor: streams whose rounds would take just the hop of processor time, on a core
            that is theirs alone.
    """

    hop_s: float
    single: Round
    full: Round
    by_processor: int

    @property
    def sustained(self) -> int:
        """Streams that one core keeps up with in 99 of 100 rounds."""
        return self.full.streams if self.full.quantile(0.99) <= self.hop_s else 0


class Workload:
    """A growing number of streams of noise, fed hop by hop.

    Args:
        engine: runs the model.
        level_every_s: as the detector takes it; by default levels are measured as in the daemon.
    """

    def __init__(self, engine: Engine, *, level_every_s: float = 1.0) -> None:
        self._detector = Detector(engine, level_every_s=level_every_s)
        self._hop = engine.manifest.chunk_samples
        noise = np.random.default_rng(0).standard_normal(97 * self._hop, dtype=np.float32)
        self._noise = noise * np.float32(0.05)
        self._next: list[int] = []  # next sample of each stream

    def grow(self, streams: int) -> None:
        """Have at least this many streams."""
        while len(self._next) < streams:
            self._detector.add(str(len(self._next)))
            self._next.append(0)

    def round(self, streams: int) -> float:
        """Give the first ``streams`` streams a hop of audio each; return the seconds it took."""
        places = [(7 * i + self._next[i] // self._hop) % 97 * self._hop for i in range(streams)]
        begin = time.perf_counter()
        for i, place in enumerate(places):
            block = Block(self._noise[place : place + self._hop], self._next[i])
            self._detector.push(str(i), block)
        while self._detector.step() is not None:
            pass
        seconds = time.perf_counter() - begin
        for i in range(streams):
            self._next[i] += self._hop
        return seconds

    def rounds(self, streams: int, *, budget_s: float, at_least: int = 20) -> Round:
        """Time rounds for about ``budget_s`` seconds."""
        self.grow(streams)
        for _ in range(_WARM_UP_ROUNDS):
            self.round(streams)
        seconds: list[float] = []
        processor = time.thread_time()
        until = time.perf_counter() + budget_s
        while len(seconds) < at_least or time.perf_counter() < until:
            seconds.append(self.round(streams))
        return Round(streams, np.array(seconds), time.thread_time() - processor)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep the calling thread on one core; does nothing where the system cannot do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure_throughput(
    bundle: Bundle, *, budget_s: float = 12.0, max_batch: int = 32
) -> Throughput:
    """Grow the number of streams until the 99th percentile of a round passes the hop.

    Every stream's hop falls due at the same moment, which is the worst case.

    Args:
        bundle: the model.
        budget_s: about how long to measure; more gives a steadier 99th percentile.
        max_batch: streams that one inference computes together.

    Returns:
        The largest number of streams that was kept up with.
    """
    manifest = bundle.manifest
    hop_s = manifest.chunk_samples / manifest.sample_rate
    with one_core():
        work = Workload(Engine(bundle, provider="cpu", threads=1, max_batch=max_batch))
        single = work.rounds(1, budget_s=budget_s / 10)
        trial = work.rounds(max_batch, budget_s=budget_s / 10)
        best, worst = trial if trial.quantile(0.99) <= hop_s else single, None
        for _ in range(_LEVELS):
            fit = trial.streams * hop_s / trial.quantile(0.99)
            streams = max(int(fit), 1)
            if worst is not None:
                streams = min(streams, worst - 1)
            if streams <= best.streams:
                break
            trial = work.rounds(streams, budget_s=budget_s / _LEVELS)
            if trial.quantile(0.99) <= hop_s:
                best = trial
            else:
                worst = trial.streams
        processor_s = trial.processor_s / len(trial.seconds)
        by_processor = int(trial.streams * hop_s / processor_s)
    return Throughput(hop_s, single, best, by_processor)
