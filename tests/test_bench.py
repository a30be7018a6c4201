"""`streamsed bench`: that it measures and prints; never how fast anything is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import streamsed.bundle
from streamsed.bench.live import footprint, onset_latencies
from streamsed.bench.process import DaemonProcess
from streamsed.bench.throughput import Round, Throughput, measure_throughput
from streamsed.cli.main import invoke
from streamsed.errors import StreamsedError
from tests.bundles import make_bundle

MEDIAN_S, MIN_ON_S = 0.08, 0.032  # 5 and 2 frames


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> streamsed.bundle.Bundle:
    rules = {"median_s": MEDIAN_S, "min_on_s": MIN_ON_S}
    folder = make_bundle(
        tmp_path_factory.mktemp("bundle"), latency_frames=4, postprocessing={"low": rules}
    )
    return streamsed.bundle.load(folder)


def test_throughput_counts_whole_rounds_of_every_stream(
    bundle: streamsed.bundle.Bundle,
) -> None:
    found = measure_throughput(bundle, budget_s=0.5)
    assert found.hop_s == 0.064
    assert found.single.streams == 1
    assert found.full.streams >= 1
    assert found.by_processor >= 1
    assert len(found.full.seconds) >= 20
    assert found.full.quantile(0.5) <= found.full.quantile(0.99)


@pytest.mark.parametrize(("slowest_s", "sustained"), [(0.99, 3), (1.01, 0)])
def test_streams_count_as_sustained_only_within_the_hop(slowest_s: float, sustained: int) -> None:
    full = Round(3, np.full(20, slowest_s), processor_s=1.0)
    assert Throughput(1.0, full, full, by_processor=3).sustained == sustained


def test_latency_is_split_into_what_the_bundle_says_and_what_was_measured(
    bundle: streamsed.bundle.Bundle,
) -> None:
    onsets = onset_latencies(bundle, seconds=4.0)
    assert {onset.label for onset in onsets} == set(bundle.manifest.classes)
    low = next(onset for onset in onsets if onset.label == "low")
    assert low.look_ahead_s == pytest.approx(0.064)
    assert low.median_s == pytest.approx(0.032)
    assert low.min_on_s == pytest.approx(MIN_ON_S)
    for onset in onsets:
        assert 0.0 <= onset.hop_s < 0.064
        assert onset.compute_s > -0.001, "published before its last sample was played"
        assert onset.transport_s > -0.001, "arrived before it was published"
        parts = onset.algorithmic_s + onset.compute_s + onset.transport_s
        assert onset.total_s == pytest.approx(parts)


def test_footprint_looks_at_a_daemon_that_has_run(bundle: streamsed.bundle.Bundle) -> None:
    found = footprint(bundle, audio_s=20.0)
    assert found.audio_s == 20.0
    assert found.start_up_s > 0.0
    assert found.resident_mb > 10.0
    assert found.speed > 0.0


@pytest.mark.parametrize(
    "measure_live",
    [lambda bundle: onset_latencies(bundle, seconds=30.0), lambda b: footprint(b, audio_s=600.0)],
)
def test_a_daemon_that_dies_is_told(
    bundle: streamsed.bundle.Bundle,
    monkeypatch: pytest.MonkeyPatch,
    measure_live: Callable[[streamsed.bundle.Bundle], object],
) -> None:
    feed = DaemonProcess.feed

    def kill_and_feed(daemon: DaemonProcess, samples: NDArray[np.int16]) -> None:
        daemon._process.kill()
        daemon._process.wait()
        feed(daemon, samples)

    monkeypatch.setattr(DaemonProcess, "feed", kill_and_feed)
    with pytest.raises(StreamsedError, match="the measured daemon failed"):
        measure_live(bundle)


def test_what_fails_while_it_runs_is_no_bad_usage(
    bundle: streamsed.bundle.Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def died(*_arguments: object, **_options: object) -> None:
        raise StreamsedError("the measured daemon failed: no word")

    monkeypatch.setattr("streamsed.bench.throughput.measure_throughput", died)
    assert invoke(["bench", "--bundle", str(bundle.folder)]) == 1
    assert capsys.readouterr().err == "streamsed: the measured daemon failed: no word\n"


def test_the_command_prints_three_tables(
    bundle: streamsed.bundle.Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["bench", "--bundle", str(bundle.folder), "--seconds", "1"]) == 0
    printed = capsys.readouterr().out
    for expected in ("One core, a hop of 0.064 s", "sustained", "Latency of an onset", "resident"):
        assert expected in printed
    for label in bundle.manifest.classes:
        assert label in printed


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["bench", "--bundle", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "none") in error
