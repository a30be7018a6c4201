"""Replay on two cores: speed against the engine alone, and memory against length and number.

    python benchmarks/replay.py            # six minutes on an idle machine
    python benchmarks/replay.py speed      # or memory: one of the two
    python benchmarks/replay.py --quick    # one round, no ten-hour recording

The engine alone is ``Engine.step`` in one process a core, all at once, on batches as full as
replay's, without its start-up: what no decoding, resampling, postprocessing or writing could ever
beat. It is charged for as many steps as the recordings take; the last ones flush the look-ahead,
which is 41 steps for ten seconds in place of 39. It is measured before and after each replay, and
rounds go over all kinds of recordings, because the machine's speed wanders. Replay's own start-up,
a run over a second of audio in each process, is measured apart and taken off.
On a machine that others use at the same time, only the share by CPU time means anything. Nothing
is removed before the end: ext4 is slow to make files where many have just been deleted.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bundle.manifest import Manifest
from streamsed.detect.engine import Engine
from streamsed.sources.file import AudioFile
from streamsed.sources.protocol import EndOfSource

BUNDLE = Path("models/domestic")
EXAMPLE = Path("examples/kitchen.ogg")
PROCESSES = 2
BATCH = 16
ENGINE_S = 4.0
ROUNDS = 3
HOURS = 2.0  # of audio in one run


def example(rate: int) -> np.ndarray:
    """Return the example recording, ``(N,)`` float32 at ``rate`` Hz."""
    source = AudioFile("example", EXAMPLE, paced=False)
    source.open(rate)
    parts = []
    try:
        while (block := source.read(1.0)) is not None:
            parts.append(block.samples)
    except EndOfSource:
        pass
    source.close()
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the recordings of one run are like."""

    rate: int
    channels: int
    suffix: str
    seconds: float

    def steps_share(self, manifest: Manifest) -> float:
        """Return the audio in one recording as a share of the audio that its steps take."""
        frames = math.ceil(self.seconds / manifest.frame_s) + manifest.latency_frames
        steps = math.ceil(frames / manifest.frames_per_chunk)
        return self.seconds * manifest.sample_rate / (steps * manifest.chunk_samples)

    def __str__(self) -> str:
        channels = {1: "mono", 2: "stereo"}[self.channels]
        return f"{self.rate / 1000:g} kHz {channels} {self.suffix[1:].upper()}, {self.seconds:g} s"


KINDS = (
    Kind(16_000, 1, ".wav", 60.0),
    Kind(16_000, 1, ".flac", 10.0),
    Kind(44_100, 2, ".flac", 60.0),
)


def write_recordings(folder: Path, kind: Kind, *, seconds: float, count: int) -> None:
    """Write ``count`` different cuts of the example, repeated to the length that is wanted."""
    folder.mkdir()
    audio = example(kind.rate)
    rng = np.random.default_rng(1)
    for index in range(count):
        name = folder / f"{index:05d}{kind.suffix}"
        with soundfile.SoundFile(name, "w", kind.rate, kind.channels, "PCM_16") as file:
            left = round(seconds * kind.rate)
            place = int(rng.integers(len(audio)))
            while left:
                piece = audio[place : place + left]
                file.write(np.repeat(piece[:, None], kind.channels, axis=1))
                left, place = left - len(piece), 0


class Rate(NamedTuple):
    """Seconds of audio in a second, by the clock and by the time that the processors spend."""

    wall: float
    cpu: float


def engine_of_one(_: int) -> Rate:
    """Return how much audio one process's engine takes."""
    engine = Engine(streamsed.bundle.load(BUNDLE), provider="cpu", max_batch=BATCH)
    slots = [engine.open() for _ in range(len(engine.chunks))]
    audio = example(engine.manifest.sample_rate)
    hop, steps = engine.manifest.chunk_samples, 0
    begin, begin_cpu = time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - begin) < ENGINE_S:
        place = steps * hop % (len(audio) - hop)
        engine.chunks[:] = audio[place : place + hop]
        engine.step(slots)
        steps += 1
    processed_s = steps * len(slots) * hop / engine.manifest.sample_rate
    return Rate(processed_s / spent, processed_s / (time.process_time() - begin_cpu))


def engine_alone(pool: ProcessPoolExecutor) -> Rate:
    """Return how much audio all processes' engines take, together, and each of CPU time."""
    rates = list(pool.map(engine_of_one, range(PROCESSES)))
    return Rate(sum(rate.wall for rate in rates), fmean(rate.cpu for rate in rates))


class Replay:
    """One run of ``streamsed replay``.

    Attributes:
        seconds: how long it took.
        cpu_s: how much time the processors spent on it and the processes that it started.
        peak_mb: the most memory that they held, if that is watched, which takes time itself.
    """

    def __init__(self, recordings: Path, output: Path, *, watched: bool = False) -> None:
        self.peak_mb = 0.0
        begin, begin_cpu = time.perf_counter(), children_cpu_s()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamsed", "replay", str(recordings)),
                *("-o", str(output), "--bundle", str(BUNDLE), "--provider", "cpu"),
                *("--jobs", str(PROCESSES), "--quiet", "--overwrite"),
            ]
        )
        watcher = threading.Thread(target=self._watch)
        if watched:
            watcher.start()
        code = self._process.wait()
        self.seconds = time.perf_counter() - begin
        self.cpu_s = children_cpu_s() - begin_cpu
        if watched:
            watcher.join()
        if code:
            sys.exit(f"streamsed replay ended with {code}")

    def _watch(self) -> None:
        while self._process.returncode is None:
            self.peak_mb = max(self.peak_mb, sum(map(proportional_mb, tree(self._process.pid))))
            time.sleep(0.1)


def children_cpu_s() -> float:
    """Return the CPU time of all processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it has ended
        return
    for child in children.split():
        yield from tree(int(child))


def proportional_mb(pid: int) -> float:
    """Return the memory of a process, its part of what it shares (Pss), in 10^6 bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def start_up(folder: Path) -> tuple[float, float]:
    """Return how long a replay of a second of audio in each process takes, and its CPU time."""
    recordings = folder / "second"
    write_recordings(recordings, KINDS[0], seconds=1.0, count=PROCESSES)
    runs = [Replay(recordings, folder / f"second-{number}") for number in range(3)]
    return median(run.seconds for run in runs), median(run.cpu_s for run in runs)


def speed(
    console: Console, folder: Path, pool: ProcessPoolExecutor, *, rounds: int, hours: float
) -> None:
    """Print replay's speed as a share of the engine's, for several kinds of recordings."""
    starting_s, starting_cpu_s = start_up(folder)
    console.print(f"start-up: {starting_s:.1f} s, {starting_cpu_s:.1f} s of CPU time")
    manifest = streamsed.bundle.load(BUNDLE).manifest
    for number, kind in enumerate(KINDS):
        count = round(hours * 3600 / kind.seconds)
        write_recordings(folder / f"{number}", kind, seconds=kind.seconds, count=count)
    found: dict[Kind, list[tuple[Rate, Rate]]] = {kind: [] for kind in KINDS}
    before = engine_alone(pool)
    for turn in range(rounds):
        for number, kind in enumerate(KINDS):
            run = Replay(folder / f"{number}", folder / f"{number}-{turn}")
            after = engine_alone(pool)
            share = kind.steps_share(manifest)
            engine = Rate(*(share * fmean(pair) for pair in zip(before, after, strict=True)))
            processed_s = hours * 3600
            replay = Rate(
                processed_s / (run.seconds - starting_s), processed_s / (run.cpu_s - starting_cpu_s)
            )
            found[kind].append((engine, replay))
            before = after
    table = Table("x real time", "engine alone", "replay", "replay / engine", "by CPU time")
    for kind, rates in found.items():
        engines, replays = zip(*rates, strict=True)
        shares = [replay.wall / engine.wall for engine, replay in rates]
        cpu_shares = [replay.cpu / engine.cpu for engine, replay in rates]
        table.add_row(
            f"{hours:g} h, {kind}",
            f"{median(rate.wall for rate in engines):.0f}",
            f"{median(rate.wall for rate in replays):.0f}",
            *(f"{median(s):.0%} ({min(s):.0%} to {max(s):.0%})" for s in (shares, cpu_shares)),
        )
    console.print(table)


def memory(console: Console, folder: Path, *, quick: bool) -> None:
    """Print the peak memory of all processes together, by number and length of recordings."""
    cases = [("100 of 10 s", 100, 10.0), ("1000 of 10 s", 1000, 10.0), ("2 of 10 min", 2, 600.0)]
    cases += [] if quick else [("4000 of 10 s", 4000, 10.0), ("1 of 10 h", 1, 36_000.0)]
    table = Table("recordings (16 kHz mono WAV)", "peak memory of all processes, MB", "seconds")
    for title, count, seconds in cases:
        recordings = folder / f"memory-{count}-{seconds:g}"
        write_recordings(recordings, KINDS[0], seconds=seconds, count=count)
        out = folder / f"memory-out-{count}-{seconds:g}"
        replay = Replay(recordings, out, watched=True)
        table.add_row(title, f"{replay.peak_mb:.0f}", f"{replay.seconds:.1f}")
    console.print(table)


def main() -> None:
    """Measure speed, then memory."""
    parser = argparse.ArgumentParser(description="Replay's speed and memory.")
    parser.add_argument("what", nargs="?", choices=("speed", "memory"), help="by default both")
    parser.add_argument("--quick", action="store_true", help="one round, no ten-hour recording")
    arguments = parser.parse_args()
    what, quick = arguments.what, arguments.quick
    console = Console()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSES])
    with (
        tempfile.TemporaryDirectory(prefix="streamsed-") as temporary,
        ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool,
    ):
        if what != "memory":
            rounds = 1 if quick else ROUNDS
            speed(console, Path(temporary), pool, rounds=rounds, hours=HOURS)
        if what != "speed":
            memory(console, Path(temporary), quick=quick)


if __name__ == "__main__":
    main()
