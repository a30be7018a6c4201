"""Tone bundles and engines shared by the detection tests."""

from __future__ import annotations

import pytest

from streamsed import bundle
from streamsed.bundle import Bundle
from streamsed.detect.engine import Engine
from tests.bundles import make_bundle

# Class "low" as the decoder meets it in earnest: smoothed, hysteretic, with minimum durations.
POSTPROCESSING = {
    "low": {"enter": 0.6, "exit": 0.3, "median_s": 0.08, "min_on_s": 0.06, "min_off_s": 0.1},
    "mid": {"median_s": 0.05, "max_on_s": 0.25},
}


@pytest.fixture(scope="session")
def tone_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A causal bundle without postprocessing: 64 ms chunks of four 16 ms frames."""
    return bundle.load(make_bundle(tmp_path_factory.mktemp("tones") / "tones"))


@pytest.fixture(scope="session")
def tone_engine(tone_bundle: Bundle) -> Engine:
    return Engine(tone_bundle, provider="cpu")


@pytest.fixture(scope="session")
def looking_ahead(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine with six frames of look-ahead and postprocessing of every kind."""
    folder = tmp_path_factory.mktemp("tones") / "ahead"
    path = make_bundle(folder, latency_frames=6, postprocessing=POSTPROCESSING)
    return Engine(bundle.load(path), provider="cpu", max_batch=4)
