"""The streaming median is the centred median filter of scipy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from streamsed.detect.median import StreamingMedian, median_filter

Signal = NDArray[np.float32]

SCORES = st.floats(0, 1, width=32)
COARSE = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # few values, so that ties abound


def _streamed(
    median: StreamingMedian, signals: list[Signal], places: list[int]
) -> list[list[Signal]]:
    """Push streams of one length together, cut at ``places``; return them filtered, by class."""
    length = len(signals[0])
    slots = [3 * row + 1 for row in range(len(signals))]
    edges = [0, *sorted({place % length for place in places} - {0}), length]
    frames = np.stack(signals)
    pieces = [median.push(slots, frames[:, begin:end]) for begin, end in pairwise(edges)]
    flushed = np.stack([median.flush(slot) for slot in slots])
    known = np.concatenate([*pieces, flushed], axis=1)
    return [
        [known[row, half : half + length, column] for column, half in enumerate(median.half)]
        for row in range(len(signals))
    ]


def _scipy(signal: Signal, windows: list[int]) -> list[Signal]:
    return [
        ndimage.median_filter(signal[:, column], size=window, mode="nearest")
        for column, window in enumerate(windows)
    ]


@pytest.mark.parametrize("window", range(1, 43, 2))
def test_equals_scipy_at_every_length(window: int) -> None:
    generator = np.random.default_rng(window)
    windows = [window, 1, 9, window]
    median = StreamingMedian(windows)  # slots are used again
    for length in range(1, 61):
        signals = list(generator.random((3, length, 4), np.float32))
        for found, signal in zip(_streamed(median, signals, [length // 3]), signals, strict=True):
            np.testing.assert_array_equal(found, _scipy(signal, windows))
            slow = [median_filter(c.tolist(), w) for c, w in zip(signal.T, windows, strict=True)]
            np.testing.assert_array_equal(found, slow)


@settings(deadline=None)
@given(
    st.integers(1, 80).flatmap(
        lambda length: st.lists(
            arrays(np.float32, (length, 3), elements=SCORES | COARSE), min_size=1, max_size=4
        )
    ),
    st.lists(st.integers(0, 60), min_size=3, max_size=3),
    st.lists(st.integers(0, 80), max_size=8),
)
def test_does_not_depend_on_the_cut_nor_on_other_streams(
    signals: list[Signal], halves: list[int], places: list[int]
) -> None:
    windows = [2 * half + 1 for half in halves]
    for found, signal in zip(
        _streamed(StreamingMedian(windows), signals, places), signals, strict=True
    ):
        np.testing.assert_array_equal(found, _scipy(signal, windows))


def test_a_stream_waits_while_others_go_on() -> None:
    frames = np.random.default_rng(0).random((2, 40, 1), np.float32)
    median = StreamingMedian([7])
    parts = [median.push([0], frames[:1, :25])]
    median.push([1], frames[1:, :30])
    parts.append(median.push([0, 2], np.concatenate([frames[:1, 25:], frames[1:, :15]]))[:1])
    known = np.concatenate([*parts, median.flush(0)[None]], axis=1)
    np.testing.assert_array_equal(known[0, 3:, 0], *_scipy(frames[0], [7]))


def test_long_pieces_equal_short_ones() -> None:
    """Long ones are filtered part by part."""
    frames = np.random.default_rng(0).random((5, 1000, 2), np.float32)
    at_once, windows = StreamingMedian([9, 3]), StreamingMedian([9, 3])
    whole = at_once.push(range(5), frames)
    pieces = [windows.push(range(5), frames[:, n : n + 8]) for n in range(0, 1000, 8)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces, axis=1))


@pytest.mark.parametrize("window", [-1, 0, 2, 64])
def test_a_window_is_odd(window: int) -> None:
    with pytest.raises(ValueError, match=f"not {window}"):
        StreamingMedian([5, window])
