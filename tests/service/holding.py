"""Standard input, and an engine that waits in a step: a daemon in the state that a test wants."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsed.service.pipeline import Pipeline
from tests.sockets import PATIENCE_S


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Make a pipe the standard input; yields what writes audio into it (None closes it)."""
    read, write = os.pipe()
    writer = os.fdopen(write, "wb", buffering=0)
    with os.fdopen(read, "rb") as reader, writer:
        monkeypatch.setattr(sys, "stdin", reader)

        def put(audio: NDArray[np.float32] | None) -> None:
            if audio is None:
                writer.close()
            else:
                writer.write(audio.tobytes())

        yield put


@contextmanager
def held_at(
    step_number: int, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Held]:
    """Hold the given step of a pipeline's engine until it is released."""
    held = Held(threading.Event(), threading.Event())
    step, steps = pipeline.engine.step, itertools.count(1)

    def held_step(slots: Any) -> None:
        if next(steps) == step_number:
            held.reached.set()
            assert held.release.wait(PATIENCE_S)
        step(slots)

    monkeypatch.setattr(pipeline.engine, "step", held_step)
    monkeypatch.setattr("tests.service.daemons.Pipeline", Given(pipeline))
    try:
        yield held
    finally:
        held.release.set()
        for thread in threading.enumerate():
            if thread.name == "detection":  # one that was given up
                thread.join(PATIENCE_S)


@dataclass
class Held:
    """An engine that waits in a step."""

    reached: threading.Event
    release: threading.Event


class Given:
    """Stands where the pipeline's class is looked up, and gives a pipeline that is made already."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def of(self, config: Any) -> Pipeline:  # noqa: ARG002 - the signature of what it replaces
        return self._pipeline
