"""What a running daemon says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsed.publish.daemon_status import DaemonStatus, LatencyStatus
from streamsed.publish.messages import Heartbeat, JournalState, SourceState
from tests.bundles import SAMPLE_RATE, tones
from tests.service.daemons import configure, recording, running
from tests.service.test_daemon import PIPE, standard_input
from tests.sockets import receive_until


def test_a_status_tells_what_is_heard_and_how_it_goes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = tones([("low", 0.2, 0.5), ("high", 0.7, 60.0)], duration_s=60.0)
    source = recording(tmp_path / "kitchen.wav", audio, paced=True)

    def heard_for_long(message: object) -> bool:
        if not isinstance(message, Heartbeat):
            return False
        position = message.sources[0].position
        return position is not None and position.sample > 2.2 * SAMPLE_RATE

    with (
        standard_input(monkeypatch),
        running(configure(bundle, [source, PIPE])) as run,
    ):
        receive_until(run.subscriber, heard_for_long)
        status = run.daemon.status()
    sent = status.model_dump_json(by_alias=True)
    assert DaemonStatus.model_validate_json(sent).model_dump_json(by_alias=True) == sent
    kitchen, pipe = status.sources
    assert (kitchen.source, kitchen.state) == ("kitchen", SourceState.RUNNING)
    assert kitchen.level is not None
    assert kitchen.level.rms_dbfs == pytest.approx(-13.5, abs=0.5)
    assert (kitchen.level.top[0].label, kitchen.level.top[0].score > 0.9) == ("high", True)
    assert 0 <= kitchen.queued_s <= 5.0
    assert (pipe.state, pipe.level) == (SourceState.CONNECTING, None)
    assert status.onset_latency is not None
    assert status.onset_latency.messages == 2
    assert 0 < status.onset_latency.p50_s <= status.onset_latency.p99_s
    assert status.offset_latency is not None
    assert status.offset_latency.messages == 1
    assert status.real_time_factor is not None
    assert status.journal.state is JournalState.ON
    assert status.last_seq > 0
    assert status.uptime_s > 2
    assert status.trouble is None


def test_quantiles_of_latencies() -> None:
    found = LatencyStatus.of([float(number) for number in range(101)])
    assert found == LatencyStatus(messages=101, p50_s=50.0, p99_s=99.0)
    assert LatencyStatus.of([]) is None
