"""The tone bundle, under the names that the tests have for it."""

from streamsed.testing.tone_bundle import (
    FREQUENCIES_HZ,
    SAMPLE_RATE,
    ToneMember,
    run_graph,
    tones,
)
from streamsed.testing.tone_bundle import make_tone_bundle as make_bundle

__all__ = ["FREQUENCIES_HZ", "SAMPLE_RATE", "ToneMember", "make_bundle", "run_graph", "tones"]
