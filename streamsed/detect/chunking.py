"""From blocks of any size to chunks of one size, on the source's own clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamsed.sources.block import Block

Array = NDArray[np.float32]

# 60 dB over full scale. No converter delivers this; a damaged float stream does, and its square
# would overflow in the model and stay in its state for ever.
MAX_ABS_SAMPLE = 1000.0


@dataclass(slots=True)
class Segment:
    """A run of audio without a long gap; a stream of its own to the model.

    Attributes:
        first_sample: index of its first sample.
        end_sample: one past the last sample known so far.
        closed: whether ``end_sample`` is its true end.
        steps: chunks taken so far.
    """

    first_sample: int
    end_sample: int
    closed: bool = False
    steps: int = 0
    _parts: deque[Array] = field(default_factory=deque)
    _taken: int = 0

    @property
    def samples(self) -> int:
        """Samples known so far."""
        return self.end_sample - self.first_sample

    @property
    def pending_samples(self) -> int:
        """Samples not yet taken."""
        return self.samples - self._taken

    @property
    def taken_sample(self) -> int:
        """Index one past the last sample taken."""
        return self.first_sample + self._taken

    def cut(self) -> list[Block]:
        """Close it after the last sample taken; return the audio that was to come."""
        blocks, position = [], self.taken_sample
        for part in self._parts:
            blocks.append(Block(part, position))
            position += len(part)
        self._parts.clear()
        self.end_sample, self.closed = self.taken_sample, True
        return blocks

    def append(self, part: Array) -> None:
        """Add samples at the end, without copying them."""
        self._parts.append(part)
        self.end_sample += len(part)

    def take(self, chunk: Array) -> None:
        """Fill ``chunk`` with the next samples, and with silence beyond the end."""
        filled, wanted = 0, len(chunk)
        parts = self._parts
        while filled < wanted and parts:
            part, room = parts[0], wanted - filled
            if len(part) > room:
                chunk[filled:] = part[:room]
                parts[0] = part[room:]
                filled = wanted
            else:
                chunk[filled : filled + len(part)] = part
                parts.popleft()
                filled += len(part)
        chunk[filled:] = 0.0
        self._taken += filled
        self.steps += 1


class Chunker:
    """Cuts one source's blocks into chunks; what comes out does not depend on the cut.

    Audio missing between two blocks is silence if it is at most one chunk long. A longer gap
    ends the segment, and the next one begins at the first sample after it. Samples that come a
    second time (a block that reaches back) are dropped. Samples that are NaN, infinite or beyond
    ``MAX_ABS_SAMPLE`` are replaced by 0 and counted.

    Blocks are kept as views until their samples are taken: one copy from source to model.

    Args:
        chunk_samples: length of a chunk.
        frame_samples: length of a score frame.
        latency_frames: the model's look-ahead. A closed segment goes on with silence until its
            last frame has been scored.

    Attributes:
        bad_samples: samples replaced so far.
    """

    def __init__(self, *, chunk_samples: int, frame_samples: int, latency_frames: int) -> None:
        self.bad_samples = 0
        self._chunk_samples = chunk_samples
        self._frame_samples = frame_samples
        self._latency_frames = latency_frames
        self._silence = np.zeros(chunk_samples, np.float32)
        self._segments: deque[Segment] = deque()

    @property
    def segment(self) -> Segment | None:
        """The segment that is being taken; None before the first sample and after the last."""
        return self._segments[0] if self._segments else None

    @property
    def pending_samples(self) -> int:
        """Samples pushed but not yet taken."""
        return sum(segment.pending_samples for segment in self._segments)

    @property
    def ready(self) -> bool:
        """Whether the current segment has a chunk to take."""
        if not self._segments:
            return False
        segment = self._segments[0]
        if segment.closed:
            return segment.steps < self._steps(segment)
        return segment.pending_samples >= self._chunk_samples

    @property
    def drained(self) -> bool:
        """Whether the current segment has ended and all its frames have been scored."""
        if not self._segments:
            return False
        segment = self._segments[0]
        return segment.closed and segment.steps >= self._steps(segment)

    def push(self, block: Block) -> None:
        """Add a block. Its samples must not be written to afterwards.

        Raises:
            ValueError: the samples are not one-dimensional float32.
        """
        samples, first = block.samples, int(block.first_sample)
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ValueError(
                f"a block holds (n,) float32 samples, not {samples.shape} {samples.dtype}"
            )
        last = self._segments[-1] if self._segments else None
        if last is not None and not last.closed and first < last.end_sample:
            samples = samples[last.end_sample - first :]
            first = last.end_sample
        if not len(samples):
            return
        samples = self._without_bad(samples)
        if last is None or last.closed:
            last = self._begin(first)
        elif first - last.end_sample > self._chunk_samples:
            last.closed = True
            last = self._begin(first)
        elif first > last.end_sample:
            last.append(self._silence[: first - last.end_sample])
        last.append(samples)

    def end(self) -> None:
        """Close the last segment: no more audio will be pushed."""
        if self._segments:
            self._segments[-1].closed = True

    def cut(self) -> list[Block]:
        """End after the last sample taken; return the audio that was pushed beyond it."""
        blocks = [block for segment in self._segments for block in segment.cut()]
        begun = [segment for segment in self._segments if segment.steps]
        self._segments = deque(begun)
        return blocks

    def next_segment(self) -> Segment | None:
        """Drop the current segment, which is drained, and return the next, if any."""
        self._segments.popleft()
        return self.segment

    def frames(self, segment: Segment) -> int:
        """Return the number of frames of a closed segment; the last may reach beyond its end."""
        return -(-segment.samples // self._frame_samples)

    def _steps(self, segment: Segment) -> int:
        frames = self.frames(segment) + self._latency_frames
        return -(-frames * self._frame_samples // self._chunk_samples)

    def _begin(self, first_sample: int) -> Segment:
        segment = Segment(first_sample, first_sample)
        self._segments.append(segment)
        return segment

    def _without_bad(self, samples: Array) -> Array:
        # The energy bounds every sample, and one dot product is much cheaper than checking each.
        with np.errstate(over="ignore", invalid="ignore"):
            energy = float(np.dot(samples, samples))
        if energy <= MAX_ABS_SAMPLE**2:
            return samples
        good = np.abs(samples) <= MAX_ABS_SAMPLE  # false for NaN
        self.bad_samples += len(samples) - int(np.count_nonzero(good))
        return np.where(good, samples, np.float32(0.0))
