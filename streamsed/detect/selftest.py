"""Self-test: a graph reproduces its bundle's outputs, and a row does not depend on its batch."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from streamsed.bundle.bundle import SelfTest
from streamsed.bundle.manifest import SELFTEST_FILE, SELFTEST_TOLERANCE, Member
from streamsed.errors import BundleError
from streamsed.time_limit import within

Array = NDArray[np.float32]

_FATAL = 4  # onnxruntime's highest log severity
_LONGEST_RUN_S = 60.0  # a step takes milliseconds; a graph may loop for ever

# onnxruntime computes a few elementwise operators (Log, Softplus, Sin, Cos) in vectors of at most
# this many elements and the rest of a tensor one by one, with other rounding. Batch sizes from 1
# to this leave every possible rest.
_VECTOR_ELEMENTS = 16


class StepTrace:
    """Every input and output of the self-test's steps, at batch 1.

    Args:
        session: the member's graph.
        member: its manifest entry.
        selftest: the bundle's stored chunks.

    Raises:
        BundleError: the graph fails, or does not come back.
    """

    def __init__(self, session: ort.InferenceSession, member: Member, selftest: SelfTest) -> None:
        self._session = session
        self._graph = member.graph
        self._outputs = ["scores", *(f"next_{state.name}" for state in member.states)]
        self.feeds: list[dict[str, Array]] = []
        self.results: list[list[Array]] = []
        states = {s.name: np.full((1, *s.shape), s.initial, np.float32) for s in member.states}
        for chunk in selftest.chunks:
            feed = {"chunk": chunk[None], **states}
            result = self._run(feed)
            self.feeds.append(feed)
            self.results.append(result)
            states = dict(zip(states, result[1:], strict=True))

    @property
    def scores(self) -> Array:
        """``(K, frames_per_chunk, C)``."""
        return np.concatenate([result[0] for result in self.results])

    def _run(self, feed: dict[str, Array]) -> list[Array]:
        options = ort.RunOptions()
        options.log_severity_level = _FATAL  # what fails is raised, and need not be logged

        def end() -> None:
            options.terminate = True

        try:
            found: list[Array] = within(
                _LONGEST_RUN_S,
                lambda: self._session.run(self._outputs, feed, options),
                give_up=end,
            )
        except TimeoutError:
            raise BundleError(
                f"{self._graph}: one step took more than {_LONGEST_RUN_S:g} s; it seems to hang"
            ) from None
        except Exception as error:  # onnxruntime's own exceptions share no base class
            reason = " ".join(str(error).split())[:200]
            raise BundleError(
                f"{self._graph}: fails in a step of the self-test: {reason}"
            ) from error
        return found

    def same_in_batch(self, size: int) -> bool:
        """Return whether the steps, run ``size`` at a time, give bitwise what they gave alone."""
        steps = [(size + row) % len(self.feeds) for row in range(size)]
        feed = {
            name: np.concatenate([self.feeds[step][name] for step in steps])
            for name in self.feeds[0]
        }
        together = self._run(feed)
        return all(
            np.array_equal(together[index][row], self.results[step][index][0])
            for index in range(len(self._outputs))
            for row, step in enumerate(steps)
        )


def check_scores(trace: StepTrace, member: Member, selftest: SelfTest, *, where: str) -> None:
    """Compare the scores of the self-test with the stored ones.

    Args:
        trace: the self-test's steps as computed here.
        member: the member's manifest entry.
        selftest: the bundle's stored scores.
        where: the bundle's folder and the provider, for the error.

    Raises:
        BundleError: they differ by more than the tolerance.
    """
    difference = float(np.abs(trace.scores - selftest.scores[member.name]).max())
    if not difference <= SELFTEST_TOLERANCE:  # NaN fails too
        raise BundleError(
            f"{where}: {member.graph} fails the self-test in {SELFTEST_FILE}: "
            f"scores differ by {difference:.2g}, allowed are {SELFTEST_TOLERANCE:g}"
        )


def batch_invariant(trace: StepTrace, *, threads: int, max_batch: int) -> bool:
    """Return whether a row's result is bitwise the same in a batch of any size.

    Live and replay batch their streams differently and must agree to the last bit.

    Args:
        trace: the self-test's steps.
        threads: threads of the session. With one, only the sizes that leave different rests of a
            vector are tried, and the largest; with more, tensors are cut at places that depend on
            their size, and every size is tried.
        max_batch: the largest batch wanted.
    """
    every = range(2, max_batch + 1)
    sizes = [s for s in every if threads > 1 or s <= _VECTOR_ELEMENTS or s == max_batch]
    return all(trace.same_in_batch(size) for size in sizes)
