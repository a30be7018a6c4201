"""Median windows from durations: the knee of the paper's figure, and what to do without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.postprocessing import FrameRules
from streamsed.errors import ConfigError, DataError
from train.postprocess import reference
from train.postprocess.choices import Censored
from train.postprocess.labels import read_training_durations
from train.postprocess.windows import (
    Durations,
    Rule,
    WindowConfig,
    class_window,
    class_windows,
    find_knee,
)

CONFIG = WindowConfig()


def lengths(values: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sort(np.asarray(values, np.float64))


@given(
    durations=st.lists(st.integers(1, 60), min_size=1, max_size=80),
    from_share=st.sampled_from([0.0, 0.5, 0.8]),
)
def test_the_knee_is_that_of_a_plain_loop(durations: list[int], from_share: float) -> None:
    """Durations are quarters of seconds: many are equal, and so are many rises of the curve."""
    values = [duration / 4 for duration in durations]
    config = WindowConfig(from_share=from_share)
    found = find_knee(lengths(values), config)
    if len(values) < 20 or len(set(values)) == 1:
        assert found is None
        return
    expected, gap = reference.knee(values, from_share=from_share)
    assume(abs(gap - config.least_gap) > 1e-9)
    if gap < config.least_gap:
        assert found is None
    else:
        assert found is not None
        # Where two rises are equal but for rounding, both are the knee.
        spread = max(values) - min(values)
        rise = found / len(values) - (lengths(values)[found - 1] - min(values)) / spread
        assert rise == pytest.approx(gap)
        assert found >= expected


@given(count=st.integers(50, 20_000), mean_s=st.floats(0.1, 10))
def test_exponential_durations_have_their_knee_in_the_upper_half(count: int, mean_s: float) -> None:
    values = -mean_s * np.log(1 - (np.arange(count) + 0.5) / count)
    knee = find_knee(lengths(values), CONFIG)
    assert knee is not None
    assert 0.5 < knee / count < 0.95


@given(seed=st.integers(0, 2**31), mean_s=st.floats(0.1, 10))
def test_the_long_tail_does_not_count(seed: int, mean_s: float) -> None:
    values = np.random.default_rng(seed).exponential(mean_s, 1000)
    window = class_window("c", Durations.of(values), CONFIG)
    assert window.knee
    assert 500 < window.counted < 1000
    assert window.window_s < values.mean() / 3


@given(count=st.integers(20, 2000), longest=st.floats(1, 100))
def test_evenly_spread_durations_have_no_knee(count: int, longest: float) -> None:
    values = np.linspace(0.1, longest, count)
    window = class_window("c", Durations.of(values), CONFIG)
    assert not window.knee
    assert window.window_s == pytest.approx(values.mean() / 3)


def test_uniform_draws_have_no_knee() -> None:
    values = np.random.default_rng(4).uniform(0.2, 9, 5000)
    assert find_knee(lengths(values), CONFIG) is None


@pytest.mark.parametrize("values", [[0.2, 0.3, 0.4, 0.5, 8.0], [2.0] * 50, [1.5]])
def test_few_or_equal_durations_give_the_mean(values: list[float]) -> None:
    window = class_window("c", Durations.of(values), CONFIG)
    assert (window.knee, window.counted) == (False, len(values))
    assert window.window_s == pytest.approx(np.mean(values) / 3)


def test_of_equal_rises_the_larger_index_is_the_knee() -> None:
    # 20 durations; the 11th and the 12th rise alike: by 1/20 of n, by 1/20 of the spread.
    values = [*np.linspace(0.0, 0.0, 10), 0.0, 1.0, *np.linspace(10.0, 20.0, 8)]
    assert find_knee(lengths(values), CONFIG) == 12


def test_the_average_is_the_baseline() -> None:
    values = np.random.default_rng(5).exponential(2.0, 300)
    window = class_window("c", Durations.of(values), WindowConfig(rule=Rule.MEAN, eta=0.5))
    assert window.window_s == pytest.approx(values.mean() / 2)


@given(window_s=st.floats(0.0, 60.0), frame_s=st.sampled_from([0.016, 0.02, 0.064, 1.0]))
def test_windows_are_odd_in_frames(window_s: float, frame_s: float) -> None:
    rules = FrameRules.of(ClassPostprocessing(median_s=window_s), frame_s=frame_s)
    assert rules.median % 2 == 1
    assert abs(rules.median * frame_s - window_s) <= 1.5 * frame_s + 1e-9


def test_a_class_without_events_is_named() -> None:
    durations = {"Cat": Durations.of([1.0, 2.0])}
    with pytest.raises(DataError, match="class 'Dog' has no event"):
        class_windows(durations, ["Cat", "Dog"], CONFIG)


def test_events_that_fill_their_clips_are_counted_and_may_be_left_out() -> None:
    durations = Durations.of([1.0, 3.0, 9.95, 10.0], [10.0, 10.0, 10.0, 30.0])
    kept = class_window("c", durations, CONFIG)
    assert (kept.censored, kept.counted) == (1, 4)
    left = class_window("c", durations, WindowConfig(censored=Censored.EXCLUDE))
    assert left.window_s == pytest.approx((1.0 + 3.0 + 10.0) / 3 / 3)
    only = Durations.of([10.0, 9.95], 10.0)
    with pytest.raises(DataError, match="'c' has only events that fill their clips"):
        class_window("c", only, WindowConfig(censored=Censored.EXCLUDE))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"eta is 0\.0"):
        WindowConfig(eta=0.0)


def test_durations_are_read_from_labels(tmp_path: Path) -> None:
    """Labels of one class that overlap are one event; other classes count for nothing."""
    labels, table = tmp_path / "train.tsv", tmp_path / "durations.tsv"
    labels.write_text(
        "filename\tonset\toffset\tevent_label\n"
        "a.wav\t1.0\t2.0\tCat\na.wav\t1.5\t4.0\tCat\nb.wav\t0.0\t10.0\tCat\na.wav\t0\t1\tOwl\n"
    )
    table.write_text("filename\tduration\na.wav\t10.0\nb.wav\t10.0\n")
    notes: list[str] = []
    found = read_training_durations(labels, ["Cat", "Dog"], lengths=table, note=notes.append)
    assert sorted(found["Cat"].durations_s) == [3.0, 10.0]
    assert class_window("Cat", found["Cat"], CONFIG).censored == 1
    assert not len(found["Dog"].durations_s)
    without = read_training_durations(labels, ["Cat"], lengths=None, note=notes.append)
    assert class_window("Cat", without["Cat"], CONFIG).censored == 0
    assert notes == []


def test_lengths_of_other_recordings(tmp_path: Path) -> None:
    """Else no event would be seen to fill its recording, and no warning would come."""
    labels, table = tmp_path / "train.tsv", tmp_path / "durations.tsv"
    labels.write_text(
        "filename\tonset\toffset\tevent_label\na.wav\t0\t10\tCat\nb.wav\t0\t10\tCat\n"
    )
    notes: list[str] = []
    table.write_text("filename\tduration\nb.wav\t10.0\n")
    found = read_training_durations(labels, ["Cat"], lengths=table, note=notes.append)
    assert class_window("Cat", found["Cat"], CONFIG).censored == 1
    (note,) = notes
    assert note.startswith(f"{table}: does not name 1 recording of {labels}, whose events count")
    assert note.endswith(": a.wav")
    table.write_text("filename\tduration\nx.wav\t10.0\n")
    with pytest.raises(DataError, match=r"'a\.wav', 'b\.wav'"):
        read_training_durations(labels, ["Cat"], lengths=table, note=notes.append)
