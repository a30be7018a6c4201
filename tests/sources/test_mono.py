"""Channel choice and values that are no audio."""

from __future__ import annotations

import numpy as np
import pytest

from streamsed.errors import SourceError
from streamsed.sources.mono import Channel, channel_index, silence_unusable, to_mono

FRAMES = np.array([[1, 3], [2, 6]], np.float32)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("mix", [2, 4]), ("left", [1, 2]), ("right", [3, 6]), (0, [1, 2]), (1, [3, 6])],
)
def test_channel_choice(channel: Channel, expected: list[float]) -> None:
    index = channel_index(channel, channels=2, where="x")
    mono = to_mono(FRAMES, index)
    assert mono.dtype == np.float32
    assert mono.flags.c_contiguous
    np.testing.assert_array_equal(mono, expected)


@pytest.mark.parametrize(("channel", "channels"), [("right", 1), (2, 2)])
def test_a_channel_that_does_not_exist(channel: Channel, channels: int) -> None:
    with pytest.raises(SourceError, match=r"channel .* does not exist"):
        channel_index(channel, channels=channels, where="x")


def test_what_is_no_audio_becomes_silence() -> None:
    frames = np.array([[1, np.nan], [np.inf, -2], [-np.inf, 3e38]], np.float32)
    assert silence_unusable(frames) == 4
    np.testing.assert_array_equal(frames, [[1, 0], [0, -2], [0, 0]])
    assert silence_unusable(frames) == 0
