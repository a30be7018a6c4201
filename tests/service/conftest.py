"""Fixtures of the service tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.pulse import pulse

__all__ = ["bundle", "pulse"]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose classes low, mid and high detect tones."""
    return make_bundle(tmp_path_factory.mktemp("tones"))
