"""What every registered kind of source keeps to: a new kind is in here by being registered.

A kind registers an ``example``, which is given a recording and yields an entry that delivers it;
those of the package have theirs in ``delivering.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from time import monotonic

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter, ValidationError

from streamsed.errors import SourceLost
from streamsed.sources.config import SourceConfig, build_source
from streamsed.sources.entry import SOURCES, SourceEntry
from streamsed.sources.protocol import EndOfSource, Source
from streamsed.validation_messages import mistakes
from tests.children import children
from tests.sources.delivering import delivered
from tests.sources.reading import RATE, read_all

PATIENCE_S = 60.0
RECORDED_RATE = 24_000
LENGTH_S = 1.5
OPEN_FILES = Path("/proc/self/fd")


def chirp(rate: int) -> np.ndarray:
    t = np.arange(round(rate * LENGTH_S)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * t + 500 * t**2))


@pytest.fixture(params=sorted(SOURCES.configs()))
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if found == "microphone":
        request.getfixturevalue("pulse")
    return found


@pytest.fixture
def entry(kind: str, tmp_path: Path) -> Iterator[SourceEntry]:
    recording = tmp_path / "chirp.wav"
    soundfile.write(recording, chirp(RECORDED_RATE), RECORDED_RATE)
    with delivered(kind, recording) as found:
        yield found


@contextmanager
def opened(entry: SourceEntry) -> Iterator[Source]:
    source = build_source(entry)
    source.open(RATE)
    try:
        yield source
    finally:
        source.close()


def test_its_entry_is_read_by_its_type_and_refuses_unknown_keys(
    kind: str, entry: SourceEntry
) -> None:
    adapter: TypeAdapter[SourceEntry] = TypeAdapter(SourceConfig)
    content = entry.model_dump()
    assert content["type"] == kind
    assert adapter.validate_python(content) == entry
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python({**content, "chanel": "left"})
    found = mistakes(refused.value, model=SourceConfig)
    assert [mistake.location for mistake in found] == [("chanel",)]
    assert "did you mean 'channel'?" in found[0].problem
    with pytest.raises(ValidationError):
        adapter.validate_python({**content, "name": "two words"})


def test_making_it_opens_nothing(entry: SourceEntry) -> None:
    before = children(), len([*OPEN_FILES.iterdir()])
    source = build_source(entry)
    assert isinstance(source, Source)
    assert source.name == entry.name
    assert (children(), len([*OPEN_FILES.iterdir()])) == before
    source.close()
    source.close()


def test_it_delivers_the_recording(entry: SourceEntry) -> None:
    began = datetime.now(UTC)
    ended = False
    with opened(entry) as source:
        kept, position, deadline = [], 0, monotonic() + PATIENCE_S
        try:
            while not source.live or position < RATE:
                assert monotonic() < deadline
                if (block := source.read(1.0)) is not None:
                    assert block.samples.dtype == np.float32
                    assert block.samples.ndim == 1
                    assert block.first_sample == position
                    position = block.end_sample
                    kept.append((block.samples, block.samples.copy()))
        except EndOfSource:
            ended = True
            with pytest.raises(EndOfSource):
                source.read(0.0)
        # A server may send at once what sounded before.
        assert began - timedelta(seconds=2 * LENGTH_S) <= source.started_at <= datetime.now(UTC)
        assert source.started_at.utcoffset() is not None
        assert source.lost_samples == source.unusable_samples == 0
    for samples, copied in kept:
        np.testing.assert_array_equal(samples, copied, err_msg="written to after it was delivered")
    audio, expected = np.concatenate([samples for samples, _ in kept]), chirp(RATE)
    shared = min(len(audio), len(expected))
    if entry.type != "microphone":  # of the null sink, which delivers silence
        assert np.corrcoef(audio[:shared], expected[:shared])[0, 1] > 0.99
    if ended:
        assert abs(len(audio) - len(expected)) <= 0.1 * RATE


def test_its_gain_is_applied(entry: SourceEntry) -> None:
    if entry.type == "microphone":
        pytest.skip("the null sink delivers silence")
    quiet = build_source(entry.model_copy(update={"gain_db": -20.0}))
    audio = read_all(quiet).samples
    assert np.std(audio) == pytest.approx(0.1 * np.std(chirp(RATE)), rel=0.05)


def test_reading_is_ended_from_another_thread(entry: SourceEntry) -> None:
    def read_on() -> None:
        with suppress(EndOfSource, SourceLost):
            while source.read(PATIENCE_S) is not None:
                pass

    with opened(entry) as source:
        reader = Thread(target=read_on)
        reader.start()
        source.interrupt()
        source.close()
        reader.join(PATIENCE_S / 2)
        assert not reader.is_alive()
