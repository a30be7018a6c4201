"""The streaming median is the centred median filter of scipy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from streamsed.detect.median import StreamingMedian, median_filter

SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80)
# Few values, so that ties abound.
COARSE = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=80)


def _streamed(values: list[float], window: int, places: list[int]) -> list[float]:
    median = StreamingMedian(window)
    edges = [0, *sorted(place % (len(values) + 1) for place in places), len(values)]
    filtered: list[float] = []
    for begin, end in pairwise(edges):
        filtered += median.push(values[begin:end])
    known = len(filtered)
    filtered += median.flush()
    assert known == max(0, len(values) - window // 2)
    return filtered


@pytest.mark.parametrize("window", range(1, 43, 2))
def test_equals_scipy_at_every_length(window: int) -> None:
    generator = np.random.default_rng(window)
    for length in range(1, 61):
        values = generator.random(length).astype(np.float32)
        expected = ndimage.median_filter(values, size=window, mode="nearest").tolist()
        assert _streamed(values.tolist(), window, [length // 3]) == expected
        assert median_filter(values.tolist(), window) == expected


@settings(deadline=None)
@given(SCORES | COARSE, st.integers(0, 60), st.lists(st.integers(0, 80), max_size=8))
def test_does_not_depend_on_the_cut(values: list[float], half: int, places: list[int]) -> None:
    window = 2 * half + 1
    expected = ndimage.median_filter(np.array(values), size=window, mode="nearest").tolist()
    assert _streamed(values, window, places) == expected


@pytest.mark.parametrize("window", [-1, 0, 2, 64])
def test_a_window_is_odd(window: int) -> None:
    with pytest.raises(ValueError, match=f"not {window}"):
        StreamingMedian(window)


def test_nothing_in_nothing_out() -> None:
    median = StreamingMedian(5)
    assert list(median.push([])) == []
    assert list(median.flush()) == []
