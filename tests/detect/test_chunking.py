"""Chunks, segments and gaps do not depend on how audio is cut into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.detect.chunking import MAX_ABS_SAMPLE, Chunker
from streamsed.sources.block import Block
from tests.detect.run import Array, cut

CHUNK, FRAME = 8, 4


def _chunker(latency_frames: int = 0) -> Chunker:
    return Chunker(chunk_samples=CHUNK, frame_samples=FRAME, latency_frames=latency_frames)


def _audio(count: int) -> Array:
    return np.arange(1, count + 1, dtype=np.float32)


def _taken(chunker: Chunker) -> list[tuple[int, int, list[float]]]:
    """Take all there is: first sample of the segment, step, chunk."""
    taken = []
    while chunker.segment is not None:
        while chunker.ready:
            segment = chunker.segment
            chunk = np.full(CHUNK, np.nan, np.float32)
            segment.take(chunk)
            taken.append((segment.first_sample, segment.steps, chunk.tolist()))
        if not chunker.drained:
            break
        chunker.next_segment()
    return taken


@settings(deadline=None)
@given(
    st.integers(0, 60),
    st.lists(st.integers(0, 60), max_size=10),
    st.integers(0, 2**40),
    st.integers(0, 5),
)
def test_chunks_are_the_samples_in_order(
    count: int, places: list[int], first: int, latency: int
) -> None:
    audio, chunker = _audio(count), _chunker(latency)
    taken = []
    for block in cut(audio, [place % (count + 1) for place in places], first_sample=first):
        chunker.push(block)
        taken += _taken(chunker)
    assert chunker.pending_samples == count % CHUNK
    chunker.end()
    taken += _taken(chunker)
    assert chunker.pending_samples == 0
    assert chunker.segment is None
    frames = -(-count // FRAME)
    steps = -(-(frames + latency) * FRAME // CHUNK) if count else 0
    assert [(where, step) for where, step, _ in taken] == [(first, s + 1) for s in range(steps)]
    padded = np.zeros(steps * CHUNK, np.float32)
    padded[:count] = audio
    assert [chunk for _, _, chunk in taken] == padded.reshape(-1, CHUNK).tolist()


def test_a_gap_of_a_chunk_is_filled_with_silence() -> None:
    chunker = _chunker()
    chunker.push(Block(_audio(4), 100))
    chunker.push(Block(_audio(4), 104 + CHUNK))
    chunker.end()
    assert _taken(chunker) == [
        (100, 1, [1, 2, 3, 4, 0, 0, 0, 0]),
        (100, 2, [0, 0, 0, 0, 1, 2, 3, 4]),
    ]


def test_a_longer_gap_ends_the_segment() -> None:
    chunker = _chunker()
    chunker.push(Block(_audio(4), 100))
    assert not chunker.ready
    chunker.push(Block(_audio(9), 105 + CHUNK))
    assert _taken(chunker) == [
        (100, 1, [1, 2, 3, 4, 0, 0, 0, 0]),
        (113, 1, [1, 2, 3, 4, 5, 6, 7, 8]),
    ]
    assert chunker.pending_samples == 1


def test_what_comes_twice_is_dropped() -> None:
    chunker = _chunker()
    chunker.push(Block(_audio(6), 0))
    chunker.push(Block(_audio(6), 0))
    chunker.push(Block(_audio(6) * 10, 3))
    chunker.push(Block(_audio(1), -50))
    assert chunker.pending_samples == 9
    chunker.end()
    assert _taken(chunker)[0][2] == [1, 2, 3, 4, 5, 6, 40, 50]


def test_empty_blocks_say_nothing() -> None:
    chunker = _chunker()
    chunker.push(Block(_audio(0), 7))
    assert chunker.segment is None
    chunker.push(Block(_audio(4), 50))
    chunker.push(Block(_audio(0), 5000))
    chunker.push(Block(_audio(4), 54))
    assert _taken(chunker) == [(50, 1, [1, 2, 3, 4, 1, 2, 3, 4])]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.001 * MAX_ABS_SAMPLE, -3e38])
def test_bad_samples_are_silenced_and_counted(bad: float) -> None:
    chunker = _chunker()
    audio = _audio(CHUNK)
    audio[[2, 5]] = bad
    kept = audio.copy()
    chunker.push(Block(audio, 0))
    assert _taken(chunker) == [(0, 1, [1, 2, 0, 4, 5, 0, 7, 8])]
    assert chunker.bad_samples == 2
    np.testing.assert_array_equal(audio, kept)


def test_loud_audio_is_not_bad() -> None:
    chunker = _chunker()
    chunker.push(Block(np.full(CHUNK, MAX_ABS_SAMPLE, np.float32), 0))
    assert _taken(chunker) == [(0, 1, [MAX_ABS_SAMPLE] * CHUNK)]
    assert chunker.bad_samples == 0


@pytest.mark.parametrize("samples", [np.zeros((4, 2), np.float32), np.zeros(4)])
def test_other_arrays_are_refused(samples: Array) -> None:
    with pytest.raises(ValueError, match="float32"):
        _chunker().push(Block(samples, 0))
