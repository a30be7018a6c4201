"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.bundles import SAMPLE_RATE, make_bundle, tones
from tests.pulse import pulse

__all__ = ["pulse"]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose classes low, mid and high detect tones."""
    return make_bundle(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of one second with one event."""
    path = tmp_path_factory.mktemp("audio") / "kitchen.wav"
    soundfile.write(path, tones([("low", 0.3, 0.7)], duration_s=1.0), SAMPLE_RATE)
    return path
