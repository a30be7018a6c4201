"""Engine: the members of a bundle as one batched step over many streams."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from streamsed.bundle.bundle import Bundle
from streamsed.bundle.manifest import Manifest
from streamsed.detect.selftest import StepTrace, batch_invariant, check_scores
from streamsed.detect.sessions import CUDA, Provider, open_sessions
from streamsed.detect.states import DeviceStates, HostStates, States
from streamsed.errors import BundleError

Array = NDArray[np.float32]

_FATAL = 4  # onnxruntime's highest log severity


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What really runs.

    Attributes:
        provider: onnxruntime's execution provider of every member.
        requested: the provider in the configuration.
        fallback: why a GPU is not used although it was not ruled out; else None.
        device: ``cpu`` or ``cuda``.
        threads: threads inside one operator.
        requested_batch: the batch in the configuration.
        max_batch: streams in one run; 1 where a batch would change a stream's scores in their
            last bits (a graph with Log or Softplus over a number of elements that is no multiple
            of 4 for each stream, or more than one thread).
        members: names in the order of the manifest.
        onnxruntime: its version.
    """

    provider: str
    requested: Provider
    fallback: str | None
    device: str
    threads: int
    requested_batch: int
    max_batch: int
    members: tuple[str, ...]
    onnxruntime: str


class Engine:
    """Runs the step functions of a bundle, without sources, clock or events.

    A stream occupies a slot from :meth:`open` to :meth:`close`. One step: write the streams'
    chunks into the first rows of :attr:`chunks`, call :meth:`step` with their slots, read the
    same rows of each member's :meth:`scores`. A stream's scores are bitwise the same whatever
    other streams share its batch.

    Args:
        bundle: a verified bundle.
        provider: ``cpu``, ``cuda``, or ``auto``.
        require_gpu: whether running without a GPU is an error.
        threads: threads inside one operator.
        max_batch: the most streams in one run.

    Attributes:
        manifest: the bundle's.
        report: what really runs.
        chunks: ``(max_batch, chunk_samples)`` float32, the input of the next step.

    Raises:
        BundleError: a graph cannot be loaded, or fails the self-test.
        ProviderError: a GPU is required and cannot be used.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: Provider = "auto",
        require_gpu: bool = False,
        threads: int = 1,
        max_batch: int = 32,
    ) -> None:
        if threads < 1 or max_batch < 1:
            raise ValueError(f"threads {threads} and max_batch {max_batch} must be at least 1")
        self.manifest: Manifest = bundle.manifest
        try:
            self._open(bundle, provider, require_gpu, threads, max_batch)
        except MemoryError as error:
            raise BundleError(f"{bundle.folder}: needs more memory than there is") from error

    def _open(
        self, bundle: Bundle, provider: Provider, require_gpu: bool, threads: int, max_batch: int
    ) -> None:
        sessions, hardware = open_sessions(
            dict(bundle.graphs), provider, require_gpu=require_gpu, threads=threads
        )
        batch = max_batch
        for member in bundle.manifest.members:
            trace = StepTrace(sessions[member.name], member, bundle.selftest)
            where = f"{bundle.folder} on {hardware.provider}"
            check_scores(trace, member, bundle.selftest, where=where)
            # On a GPU every run is a whole batch, so there is but one size.
            if hardware.provider != CUDA and not batch_invariant(
                trace, threads=threads, max_batch=batch
            ):
                batch = 1
        self.report = EngineReport(
            provider=hardware.provider,
            requested=provider,
            fallback=hardware.fallback,
            device=hardware.device,
            threads=threads,
            requested_batch=max_batch,
            max_batch=batch,
            members=tuple(sessions),
            onnxruntime=ort.__version__,
        )
        self.chunks = np.zeros((batch, self.manifest.chunk_samples), np.float32)
        self._options = ort.RunOptions()
        self._options.log_severity_level = _FATAL  # what fails is raised, and logged by who catches
        self._members = self._allocate(sessions)
        self._free: list[int] = []
        self._capacity = 0

    def _allocate(self, sessions: dict[str, ort.InferenceSession]) -> dict[str, States]:
        members: dict[str, States] = {}
        shape = (len(self.chunks), self.manifest.frames_per_chunk, len(self.manifest.classes))
        for member in self.manifest.members:
            session, scores = sessions[member.name], np.zeros(shape, np.float32)
            members[member.name] = (
                HostStates(
                    session, member, chunks=self.chunks, scores=scores, options=self._options
                )
                if self.report.device == "cpu"
                else DeviceStates(
                    session,
                    member,
                    chunks=self.chunks,
                    scores=scores,
                    device=self.report.device,
                    options=self._options,
                )
            )
        return members

    def abort(self) -> None:
        """Make the step under way fail, and all to come; any thread may call it.

        onnxruntime checks this between two operators, also of a loop that never ends.
        """
        self._options.terminate = True

    def open(self) -> int:
        """Return a slot for a new stream, in the initial state; the lowest that is free."""
        if not self._free:
            first, self._capacity = self._capacity, self._capacity + len(self.chunks)
            for states in self._members.values():
                states.grow(self._capacity)
            self._free = list(range(first, self._capacity))
        slot = heapq.heappop(self._free)
        self.reset(slot)
        return slot

    def close(self, slot: int) -> None:
        """Give a slot back."""
        heapq.heappush(self._free, slot)

    def reset(self, slot: int) -> None:
        """Return a stream to the initial state."""
        for states in self._members.values():
            states.reset(slot)

    def batch(self, slots: Iterable[int]) -> list[int]:
        """Choose which of the waiting slots one step can take, in the order given.

        Returns:
            At most ``max_batch`` slots in ascending order; the first given is among them.
        """
        waiting = iter(slots)
        first = next(waiting)
        chosen = [first]
        batch = first // len(self.chunks) if self.report.device != "cpu" else None
        for slot in waiting:
            if len(chosen) == len(self.chunks):
                break
            if batch is None or slot // len(self.chunks) == batch:
                chosen.append(slot)
        return sorted(chosen)

    def step(self, slots: Sequence[int]) -> None:
        """Advance streams by one chunk each.

        Args:
            slots: as :meth:`batch` chose them; row i of :attr:`chunks` is the chunk of
                ``slots[i]``.
        """
        for states in self._members.values():
            states.step(slots)

    def scores(self, member: str) -> Array:
        """Return a member's ``(max_batch, frames_per_chunk, C)``, overwritten by the next step."""
        return self._members[member].scores

    def tags(self, member: str) -> Array | None:
        """Return a member's ``(max_batch, C)`` or None, overwritten by the next step."""
        return self._members[member].tags
