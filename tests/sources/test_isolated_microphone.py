"""A microphone in a process of its own: as the microphone itself, and what happens if it fails."""

from __future__ import annotations

import signal
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.devices import list_devices
from streamsed.sources.isolated_microphone import IsolatedMicrophone
from streamsed.sources.microphone_process import Record, RecordKind
from tests.children import PATIENCE_S, children
from tests.pulse import PulseServer
from tests.sources.interrupted import check_interruption_before_the_child_is_seen
from tests.sources.reading import RATE, one_line

RECORDS = st.builds(
    Record,
    kind=st.sampled_from(RecordKind),
    content=st.binary(max_size=50),
    first_sample=st.integers(0, 2**62),
    started_at=st.floats(0, 1e10),
    lost_samples=st.integers(0, 2**62),
)


@given(st.lists(RECORDS, max_size=5), st.integers(1, 40))
def test_records_come_out_as_they_went_in_however_they_are_cut(
    records: list[Record], size: int
) -> None:
    sent, received, found = b"".join(record.pack() for record in records), bytearray(), []
    for first in range(0, len(sent), size):
        received += sent[first : first + size]
        while (record := Record.take(received)) is not None:
            found.append(record)
    assert found == records
    assert not received


def test_it_delivers_what_the_microphone_does(pulse: PulseServer) -> None:
    before = children()
    source = IsolatedMicrophone("mic", device="pulse")
    for _ in range(2):  # it may be opened again
        source.open(RATE)
        position, deadline = 0, monotonic() + PATIENCE_S
        while position < RATE // 2:
            assert monotonic() < deadline
            if (block := source.read(1.0)) is not None:
                assert block.first_sample == position
                position = block.end_sample
        assert source.lost_samples == 0
        assert source.status_flags == {"input_overflow": 0, "input_underflow": 0}
        source.close()
        assert children() == before


def test_a_device_that_was_renumbered_is_found_again(pulse: PulseServer) -> None:
    def number(name: str) -> int:
        return next(device.index for device in list_devices() if device.name == name)

    before = number("pulse")
    source = IsolatedMicrophone("mic", device=before)
    source.open(RATE)
    source.close()
    pulse.add_device("earlier")
    assert number("pulse") != before
    source.open(RATE)
    source.close()
    assert source.device_id == "alsa:pulse"


def test_what_is_wrong_is_said_as_the_microphone_says_it(pulse: PulseServer) -> None:
    with pytest.raises(SourceError) as error:
        IsolatedMicrophone("mic", device="yeti").open(RATE)
    assert not isinstance(error.value, SourceLost)
    assert one_line(error.value, "mic: no input device 'yeti'", "'pulse'")


def test_an_interruption_before_the_process_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    check_interruption_before_the_child_is_seen(IsolatedMicrophone("mic"), monkeypatch)
    assert children() == before


def test_its_process_dies(pulse: PulseServer) -> None:
    before = children()
    source = IsolatedMicrophone("mic", device="pulse")
    source.open(RATE)
    (process,) = children() - before
    process.send_signal(signal.SIGSEGV)
    deadline = monotonic() + PATIENCE_S
    with pytest.raises(SourceLost) as error:  # noqa: PT012  # what was recorded before comes first
        while monotonic() < deadline:
            source.read(1.0)
    assert one_line(error.value, "mic: ", "killed by signal 11")
    source.close()
