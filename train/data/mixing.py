"""Scenes mixed and written by several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from train.data.events import Event
from train.data.soundscape import SoundscapeGenerator
from train.pool import end_with_parent

Scenes = Sequence[tuple[int, Path]]
"""Indices of scenes, and the files that they become."""
Labels = list[tuple[int, tuple[Event, ...]]]
"""Indices of scenes, and their events."""

Write = Callable[[SoundscapeGenerator, Scenes], Labels]
"""Mixes scenes and writes their files; a module's own function, which processes find by name."""

_adopted: tuple[SoundscapeGenerator, Write] | None = None


def write_scenes(generator: SoundscapeGenerator, scenes: Scenes) -> Labels:
    """Write each scene as one file."""
    done = []
    for index, path in scenes:
        scene = generator.generate(index)
        write_wav(path, scene.audio, sample_rate=generator.config.sample_rate)
        done.append((index, scene.events))
    return done


def write_wav(path: Path, audio: NDArray[np.float32], *, sample_rate: int) -> None:
    """Write 16-bit mono, in one go."""
    unfinished = path.with_name(path.name + ".part")
    soundfile.write(unfinished, audio, sample_rate, subtype="PCM_16", format="WAV")
    unfinished.replace(path)


def mixed(
    generator: SoundscapeGenerator,
    chunks: Sequence[Scenes],
    *,
    jobs: int,
    write: Write = write_scenes,
) -> Iterator[tuple[int, Labels]]:
    """Mix and write chunks of scenes, in any order.

    Args:
        generator: of the scenes. Processes that are forked share its memory.
        chunks: each is one process's work for a while.
        jobs: processes; 1 works in this one.
        write: what is done with each chunk.

    Yields:
        Which chunk is done, and its scenes' events. Its files are whole: none has its name
        before it is.

    Raises:
        OSError: a file cannot be written.
        BrokenProcessPool: a process died.
    """
    if jobs == 1:
        for which, scenes in enumerate(chunks):
            yield which, write(generator, scenes)
        return
    method = "fork" if "fork" in get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context(method), initializer=_adopt, initargs=(generator, write)
    )
    try:
        futures = {pool.submit(_write_adopted, scenes): i for i, scenes in enumerate(chunks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write_adopted(scenes: Scenes) -> Labels:
    assert _adopted is not None
    generator, write = _adopted
    return write(generator, scenes)


def _adopt(generator: SoundscapeGenerator, write: Write) -> None:
    global _adopted  # noqa: PLW0603 - a worker process has one
    _adopted = generator, write
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    end_with_parent()
