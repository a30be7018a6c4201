"""The states of all streams between steps, and stepping them in batches.

A stream occupies a *slot*. Slots are grouped into *batches* of ``max_batch`` rows; for each batch
there are two buffers of every state tensor, and a step reads one and writes the other.

The two classes here have the same methods. :class:`HostStates` runs any rows of any batches
together, :class:`DeviceStates` always a whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from streamsed.bundle.manifest import Member

Array = NDArray[np.float32]


class States(Protocol):
    """The memory of all streams for one member."""

    scores: Array
    tags: Array | None

    def grow(self, slots: int) -> None:
        """Make room for at least ``slots`` slots."""

    def reset(self, slot: int) -> None:
        """Write the initial state into a slot."""

    def step(self, slots: Sequence[int]) -> None:
        """Advance ``slots`` by the first rows of the chunk buffer, filling ``scores``, ``tags``."""


class HostStates:
    """States in main memory.

    A step over the first n rows of a batch is run in place, without a copy: onnxruntime reads one
    buffer of the batch and writes the other. Any other choice of rows is gathered into a scratch
    batch and scattered back. A row does not depend on which of the two it was (see
    :func:`streamsed.detect.selftest.batch_invariant`).

    Args:
        session: the member's graph.
        member: its manifest entry.
        chunks: ``(max_batch, chunk_samples)`` float32, the input of every step.
        scores: ``(max_batch, frames_per_chunk, C)`` float32, the output.
        options: of every run; None for the usual.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        member: Member,
        *,
        chunks: Array,
        scores: Array,
        options: ort.RunOptions | None = None,
    ) -> None:
        self.scores = scores
        self.tags = np.zeros((len(scores), scores.shape[2]), np.float32) if member.tags else None
        self._session = session
        self._options = options
        self._specs = member.states
        self._chunks = chunks
        self._rows = len(chunks)
        self._scratch = (self._buffers(), self._buffers())
        self._batches: list[tuple[list[Array], list[Array]]] = []
        self._side: list[int] = []  # for each slot, which buffer of its batch holds its state
        self._bindings: dict[tuple[int, int, int], ort.IOBinding] = {}

    def grow(self, slots: int) -> None:
        """Make room for at least ``slots`` slots."""
        while len(self._side) < slots:
            self._batches.append((self._buffers(), self._buffers()))
            self._side.extend([0] * self._rows)

    def reset(self, slot: int) -> None:
        """Write the initial state into a slot."""
        for spec, state in zip(self._specs, self._state(slot), strict=True):
            state[...] = spec.initial

    def step(self, slots: Sequence[int]) -> None:
        """Advance ``slots`` by the first rows of the chunk buffer."""
        count = len(slots)
        batch, first = divmod(slots[0], self._rows)
        side = self._side[slots[0]]
        whole = first == 0 and slots[-1] == slots[0] + count - 1
        if whole and all(self._side[slot] == side for slot in slots):
            self._run(batch, side, count)
            for slot in slots:
                self._side[slot] = 1 - side
            return
        before, after = self._scratch
        for row, slot in enumerate(slots):
            for buffer, state in zip(before, self._state(slot), strict=True):
                buffer[row] = state
        self._run(-1, 0, count)
        for row, slot in enumerate(slots):
            self._side[slot] = 0  # the batch's rows come to lie on one side again
            for buffer, state in zip(after, self._state(slot), strict=True):
                state[...] = buffer[row]

    def _buffers(self) -> list[Array]:
        # A row is written when its slot is opened; until then it takes no memory.
        return [np.empty((self._rows, *spec.shape), np.float32) for spec in self._specs]

    def _state(self, slot: int) -> list[Array]:
        batch, row = divmod(slot, self._rows)
        return [buffer[row] for buffer in self._batches[batch][self._side[slot]]]

    def _run(self, batch: int, side: int, count: int) -> None:
        """Run the first ``count`` rows of a batch from ``side`` to the other; batch -1: scratch."""
        binding = self._bindings.get((batch, side, count))
        if binding is None:
            pair = self._batches[batch] if batch >= 0 else self._scratch
            binding = self._bind(pair[side], pair[1 - side], count)
            self._bindings[batch, side, count] = binding
        self._session.run_with_iobinding(binding, self._options)

    def _bind(self, before: list[Array], after: list[Array], count: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        inputs = {"chunk": self._chunks}
        outputs = {"scores": self.scores}
        if self.tags is not None:
            outputs["tags"] = self.tags
        for spec, old, new in zip(self._specs, before, after, strict=True):
            inputs[spec.name] = old
            outputs[f"next_{spec.name}"] = new
        for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, array in arrays.items():
                rows = array[:count]
                bind(name, "cpu", 0, np.float32, rows.shape, rows.ctypes.data)
        return binding


class DeviceStates:
    """States in the memory of a GPU; every run has ``max_batch`` rows.

    One shape means one choice of algorithms, so a stream's scores do not depend on its
    neighbours. Rows that are not to advance are put back by way of main memory, which costs
    three transfers of the batch's states.

    Args:
        session: the member's graph.
        member: its manifest entry.
        chunks: ``(max_batch, chunk_samples)`` float32 in main memory, the input of every step.
        scores: ``(max_batch, frames_per_chunk, C)`` float32 in main memory, the output.
        device: onnxruntime's name of the device.
        options: of every run; None for the usual.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        member: Member,
        *,
        chunks: Array,
        scores: Array,
        device: str,
        options: ort.RunOptions | None = None,
    ) -> None:
        self.scores = scores
        self.tags = np.zeros((len(scores), scores.shape[2]), np.float32) if member.tags else None
        self._session = session
        self._options = options
        self._specs = member.states
        self._rows = len(chunks)
        self._device = device
        self._chunks = chunks
        # Rows are where their slots are in the batch, which is not where the caller puts them.
        self._batch_chunks = np.zeros_like(chunks)
        self._batch_scores = np.zeros_like(scores)
        self._batch_tags = None if self.tags is None else np.zeros_like(self.tags)
        self._batches: list[list[list[ort.OrtValue]]] = []  # batch, side, state
        self._side: list[int] = []  # for each batch, which buffer holds its states
        self._bindings: dict[tuple[int, int], ort.IOBinding] = {}

    def grow(self, slots: int) -> None:
        """Make room for at least ``slots`` slots."""
        while len(self._batches) * self._rows < slots:
            self._batches.append([self._buffers(), self._buffers()])
            self._side.append(0)

    def reset(self, slot: int) -> None:
        """Write the initial state into a slot."""
        batch, row = divmod(slot, self._rows)
        for spec, value in zip(self._specs, self._batches[batch][self._side[batch]], strict=True):
            host = np.array(value.numpy())
            host[row] = spec.initial
            value.update_inplace(host)

    def step(self, slots: Sequence[int]) -> None:
        """Advance ``slots`` by the first rows of the chunk buffer."""
        batch = slots[0] // self._rows
        rows = [slot - batch * self._rows for slot in slots]
        side = self._side[batch]
        self._batch_chunks[rows] = self._chunks[: len(rows)]
        binding = self._bindings.get((batch, side))
        if binding is None:
            binding = self._bindings[batch, side] = self._bind(batch, side)
        self._session.run_with_iobinding(binding, self._options)
        binding.synchronize_outputs()
        if len(rows) < self._rows:
            still = np.ones(self._rows, np.bool_)
            still[rows] = False
            self._put_back(batch, side, still)
        self._side[batch] = 1 - side
        self.scores[: len(rows)] = self._batch_scores[rows]
        if self.tags is not None and self._batch_tags is not None:
            self.tags[: len(rows)] = self._batch_tags[rows]

    def _put_back(self, batch: int, side: int, still: NDArray[np.bool_]) -> None:
        before, after = self._batches[batch][side], self._batches[batch][1 - side]
        for old, new in zip(before, after, strict=True):
            host = np.array(new.numpy())
            host[still] = old.numpy()[still]
            new.update_inplace(host)

    def _buffers(self) -> list[ort.OrtValue]:
        initial = (
            np.full((self._rows, *spec.shape), spec.initial, np.float32) for spec in self._specs
        )
        return [ort.OrtValue.ortvalue_from_numpy(array, self._device, 0) for array in initial]

    def _bind(self, batch: int, side: int) -> ort.IOBinding:
        binding = self._session.io_binding()
        host = self._batch_chunks
        binding.bind_input("chunk", "cpu", 0, np.float32, host.shape, host.ctypes.data)
        outputs = {"scores": self._batch_scores}
        if self._batch_tags is not None:
            outputs["tags"] = self._batch_tags
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        pairs = zip(self._batches[batch][side], self._batches[batch][1 - side], strict=True)
        for spec, (old, new) in zip(self._specs, pairs, strict=True):
            binding.bind_ortvalue_input(spec.name, old)
            binding.bind_ortvalue_output(f"next_{spec.name}", new)
        return binding
