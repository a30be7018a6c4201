"""Sinks of a daemon: one that cannot deliver is shown, and delays nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from rich.console import Console

from streamsed.cli.status_table import render
from streamsed.detect.events import Kind
from streamsed.publish.daemon_status import SinkState
from streamsed.publish.messages import DaemonMessage, SourceState
from streamsed.service.metrics import registry
from tests.bundles import tones
from tests.service.daemons import PIPE, configure, events, recording, running
from tests.service.holding import standard_input
from tests.service.recovery import until_state


def test_a_sink_that_cannot_deliver_is_shown_and_delays_nothing(
    bundle: Path, tmp_path: Path
) -> None:
    with socket.socket() as stalled:  # accepts connections, and never answers
        stalled.bind(("127.0.0.1", 0))
        stalled.listen(16)
        port = stalled.getsockname()[1]
        sinks = [
            {"name": "stalled", "type": "mqtt", "host": "127.0.0.1", "port": port},
            {"name": "refused", "type": "mqtt", "host": "127.0.0.1", "port": 9},
        ]
        source = recording(tmp_path / "kitchen.wav", tones([("low", 0.3, 0.7)], duration_s=1.0))
        journal = {"path": str(tmp_path / "journal")}
        config = configure(bundle, [source], sinks=sinks, journal=journal)
        with running(config) as run:
            kinds = [event.kind for event in events(run.until_stopped())]
            status = run.daemon.status()
    assert kinds == [Kind.ONSET, Kind.OFFSET]
    conditions = {sink.name: sink for sink in status.sinks}
    assert conditions.keys() == {"stalled", "refused"}
    assert conditions["refused"].state is SinkState.FAILING
    assert "127.0.0.1:9: Connection refused" in (conditions["refused"].last_error or "")
    assert all(sink.waiting >= 2 and not sink.delivered for sink in status.sinks)

    console = Console(width=200, record=True)
    console.print(render(status))
    assert "sink refused (mqtt) failing: 127.0.0.1:9: Connection refused; 0 del" in (
        console.export_text()
    )
    collected = registry(lambda: status, run.daemon.counters).collect()
    samples = {(s.name, s.labels.get("sink")): s.value for f in collected for s in f.samples}
    assert samples["streamsed_sink_on", "refused"] == 0.0
    assert samples["streamsed_sink_waiting", "refused"] == conditions["refused"].waiting
    assert samples["streamsed_sink_failures_total", "refused"] >= 1


def test_a_change_of_sinks_needs_a_restart(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch), running(configure(bundle, [PIPE])) as run:
        until_state(run, "pipe", SourceState.CONNECTING)
        sinks = [{"name": "home", "type": "mqtt", "host": "127.0.0.1", "port": 9}]
        last = run.reload(configure(bundle, [PIPE], sinks=sinks))[-1]
        assert isinstance(last, DaemonMessage)
        assert "needs a restart: sinks" in (last.message or "")
        assert run.daemon.status().sinks == ()
        run.daemon.stop("the test is over")
        run.until_stopped()
