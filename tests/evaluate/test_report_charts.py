"""What the charts of the report are drawn from."""

from __future__ import annotations

import base64
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.report.curves import staircase
from streamsed.evaluate.report.latency import percentiles
from streamsed.evaluate.report.scene import coarser
from streamsed.evaluate.report.sound import read_part, sound_url
from streamsed.evaluate.report.spectrogram import BANDS, band_edges_hz, log_mel
from streamsed.evaluate.report.windows import WHOLE_S, WINDOW_S, choose_windows
from streamsed.evaluate.report.wording import clock, figure_of_merit, legible, length, rate
from tests.evaluate.report_data import draw_data


def test_the_area_under_the_thick_line_is_the_psds() -> None:
    evaluation = evaluate(draw_data(), bootstrap=0)
    values = {metric.key: metric.value for metric in evaluation.metrics}
    assert evaluation.roc
    for curve in evaluation.roc:
        x, y = staircase(curve.efpr, curve.effective_tpr, end=curve.max_efpr)
        assert np.trapezoid(y, x) / curve.max_efpr == pytest.approx(values[curve.key])
        assert values[curve.key] > 0


def test_points_beyond_the_end_are_left_out() -> None:
    x, y = staircase(np.array([1.0, 5.0]), np.array([0.2, 0.9]), end=4.0)
    assert x.tolist() == [0, 1, 1, 4]
    assert y.tolist() == [0, 0, 0.2, 0.2]


@given(
    lengths_s=st.lists(st.floats(0.5, 400.0), min_size=1, max_size=6),
    places=st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), min_size=6, max_size=6),
    most=st.integers(1, 8),
)
def test_windows_are_in_their_recording_apart_and_each_shows_an_error(
    lengths_s: list[float], places: list[list[float]], most: int
) -> None:
    durations_s = {f"r{i}": length_s for i, length_s in enumerate(lengths_s)}
    errors_s = {name: np.array(places[i]) * durations_s[name] for i, name in enumerate(durations_s)}
    windows = choose_windows(errors_s, durations_s, most=most)
    assert len(windows) <= most
    assert {w.recording for w in windows} == set(list(durations_s)[:most])
    for window in windows:
        duration_s = durations_s[window.recording]
        onsets = errors_s[window.recording]
        inside = (onsets >= window.begin_s) & (onsets <= window.end_s)
        assert 0 <= window.begin_s < window.end_s <= duration_s + 1e-9
        assert window.errors > 0
        assert inside.sum() >= window.errors  # one on the edge belongs to both its windows
        if duration_s <= WHOLE_S:
            assert (window.begin_s, window.end_s) == (0.0, duration_s)
        else:
            assert window.end_s - window.begin_s <= WINDOW_S + 1e-9
    for one, two in pairwise(windows):
        assert one.recording != two.recording or one.end_s <= two.begin_s + 1e-9


def test_the_window_is_around_most_errors() -> None:
    errors_s = {"long": np.array([10.0, 200.0, 205.0, 210.0, 290.0])}
    (window,) = choose_windows(errors_s, {"long": 300.0}, most=1)
    assert (window.begin_s, window.end_s, window.errors) == (190.0, 220.0, 3)


def test_more_windows_of_few_recordings_the_worst_first() -> None:
    errors_s = {"long": np.array([10.0, 200.0, 205.0, 290.0]), "short": np.array([1.0])}
    windows = choose_windows(errors_s, {"long": 300.0, "short": 9.0}, most=3)
    assert [(w.recording, w.errors) for w in windows] == [("long", 1), ("long", 2), ("short", 1)]


def spectrogram_of(path: Path, *, begin_s: float, end_s: float) -> tuple[NDArray[np.float32], int]:
    samples, rate = read_part(path, begin_s=begin_s, end_s=end_s)
    return log_mel(samples, rate, length_s=end_s - begin_s), rate


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
def test_a_sound_is_what_is_shown(rate: int, tmp_path: Path) -> None:
    time_s = np.arange(4 * rate) / rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * time_s) * (time_s >= 2.0)
    sf.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), rate)
    samples, _ = read_part(tmp_path / "tone.wav", begin_s=1.0, end_s=4.0)
    kind, _, content = sound_url(samples, rate).partition(";base64,")
    assert kind in {"data:audio/mpeg", "data:audio/ogg"}
    played, own_rate = sf.read(BytesIO(base64.b64decode(content)))
    assert own_rate == rate
    assert len(played) == pytest.approx(3 * rate, abs=0.15 * rate)
    assert np.abs(played[: rate // 2]).max() < 0.05
    assert np.abs(played[2 * rate :]).max() == pytest.approx(0.3, abs=0.1)


def test_without_samples_there_is_no_sound() -> None:
    assert sound_url(np.zeros(0, np.float32), 16000) == ""


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("hz", [440.0, 3000.0])
def test_a_tone_is_bright_at_its_pitch_and_in_its_seconds(
    rate: int, hz: float, tmp_path: Path
) -> None:
    time_s = np.arange(4 * rate) / rate
    tone = 0.3 * np.sin(2 * np.pi * hz * time_s) * ((time_s >= 2.0) & (time_s < 3.0))
    sf.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), rate)
    level, of = spectrogram_of(tmp_path / "tone.wav", begin_s=1.0, end_s=4.0)
    assert of == rate
    assert level.shape == (BANDS, 300)
    band = int(np.argmax(level[:, 150]))
    edges_hz = band_edges_hz(rate)
    assert edges_hz[band] <= hz <= edges_hz[band + 2]
    loud = level[band] > -20
    assert loud[105:195].all()
    assert not loud[:95].any()
    assert not loud[205:].any()


def test_a_spectrogram_column_is_the_transform_of_its_moment(tmp_path: Path) -> None:
    rate = 16000
    noise = np.random.default_rng(3).normal(0, 0.1, 2 * rate).astype(np.float32)
    sf.write(tmp_path / "noise.wav", noise, rate, subtype="FLOAT")
    level, _ = spectrogram_of(tmp_path / "noise.wav", begin_s=0.0, end_s=2.0)
    edges_hz, size, points = band_edges_hz(rate), 640, 2048
    energy = {}
    for column in (50, 120):
        centre = int((column + 0.5) * len(noise) / level.shape[1])
        frame = noise[centre - size // 2 : centre + size // 2] * np.hanning(size)
        power = np.abs(np.fft.rfft(frame, points)) ** 2
        for band in (5, 40, 70):
            low, middle, high = edges_hz[band : band + 3]
            total = weights = 0.0
            for index, value in enumerate(power):
                hz = index * rate / points
                weight = max(0.0, min((hz - low) / (middle - low), (high - hz) / (high - middle)))
                total, weights = total + weight * value, weights + weight
            energy[band, column] = 10 * np.log10(total / weights)
    reference = next(iter(energy))
    for place, decibel in energy.items():
        difference = level[place] - level[reference]
        assert difference == pytest.approx(decibel - energy[reference], abs=1e-3)


def test_after_the_end_of_the_file_there_is_nothing(tmp_path: Path) -> None:
    sf.write(tmp_path / "short.wav", np.zeros(8000), 16000)
    level, _ = spectrogram_of(tmp_path / "short.wav", begin_s=0.0, end_s=1.0)
    assert np.isnan(level[:, 50:]).all()
    assert (level[:, :50] == -70).all()  # silence is dark
    beyond, _ = spectrogram_of(tmp_path / "short.wav", begin_s=3.0, end_s=4.0)
    assert np.isnan(beyond).all()


@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=3000),
    begin_s=st.floats(0, 1e4),
)
def test_joined_frames_keep_their_peaks(scores: list[float], begin_s: float) -> None:
    values = np.array(scores, np.float32)
    edges_s = begin_s + np.arange(len(values) + 1) * 0.01
    coarse, coarse_edges_s = coarser(values, edges_s)
    assert len(coarse) <= 600
    assert len(coarse_edges_s) == len(coarse) + 1
    assert (coarse_edges_s[0], coarse_edges_s[-1]) == (edges_s[0], edges_s[-1])
    for value, time_s in zip(values, edges_s, strict=False):
        place = np.searchsorted(coarse_edges_s, time_s, "right") - 1
        assert coarse[place] >= value
    assert coarse.max() == values.max()


def test_percentiles_of_nothing_are_undefined() -> None:
    assert np.isnan(percentiles(np.empty(0))).all()
    assert percentiles(np.arange(101.0)) == (50.0, 90.0, 99.0)


def test_figures_are_worded_as_the_field_does() -> None:
    assert figure_of_merit("psds1_exact", 0.33449) == "0.3345"
    assert figure_of_merit("event_f1", 0.398) == "39.8 %"
    assert (rate(0.0412), rate(3.268), rate(1180.4)) == ("0.0412", "3.27", "1,180")
    assert (length(90 / 3600), length(0.5), length(3.2444)) == ("90.0 s", "30.0 min", "3.24 h")
    assert (clock(7.9), clock(725), clock(35120)) == ("0:07", "12:05", "9:45:20")


@given(text=st.text(max_size=80), longest=st.integers(5, 40))
def test_names_fit_their_place(text: str, longest: int) -> None:
    shown = legible(text, longest)
    assert len(shown) <= longest
    assert shown.isprintable()
    assert shown == legible(text) or "…" in shown
