"""Metrics and health of a daemon, asked over HTTP."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streamsed.errors import PublishError
from streamsed.publish.messages import DaemonState, SourceState
from streamsed.service.daemon import Daemon
from streamsed.service.health import STUCK_S, liveness, readiness
from streamsed.service.pipeline import Pipeline
from tests.bundles import SAMPLE_RATE, tones
from tests.service.daemons import configure, recording, running
from tests.service.test_daemon import PIPE, held_at, standard_input
from tests.sockets import PATIENCE_S

METRICS = {"bind": "127.0.0.1:0"}


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scrape(daemon: Daemon) -> list[Sample]:
    assert daemon.monitor is not None
    status, text = fetch(f"{daemon.monitor.url}/metrics")
    assert status == 200
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    (found,) = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    return found


def health(daemon: Daemon, path: str) -> tuple[int, dict[str, str]]:
    assert daemon.monitor is not None
    status, text = fetch(daemon.monitor.url + path)
    assert text.count("\n") == 1, "one line"
    return status, json.loads(text)


def test_metrics_tell_what_happened(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = [("low", 0.2, 0.5), ("high", 0.6, 0.9)]
    paced = recording(tmp_path / "kitchen.wav", tones(sounds, duration_s=1.2), paced=True)
    with (
        standard_input(monkeypatch),
        running(configure(bundle, [paced, PIPE], metrics=METRICS)) as run,
    ):
        run.until(("source", "kitchen"), ("state", SourceState.ENDED))
        samples = scrape(run.daemon)
        last_seq = run.daemon.publisher.last_seq
    assert value(samples, "streamsed_info", bundle="tones", provider="CPUExecutionProvider") == 1
    assert value(samples, "streamsed_streams", state="ended") == 1
    assert value(samples, "streamsed_streams", state="connecting") == 1
    assert value(samples, "streamsed_source_running", source="kitchen") == 0
    assert value(samples, "streamsed_queue_seconds", source="kitchen") == 0
    assert value(samples, "streamsed_events_total", label="low") == 1
    assert value(samples, "streamsed_events_total", label="mid") == 0
    assert value(samples, "streamsed_audio_seconds_total", source="kitchen") == pytest.approx(
        1.2, abs=0.02
    )
    assert value(samples, "streamsed_step_seconds_count") >= 1.2 / 0.064
    assert value(samples, "streamsed_real_time_factor") > 0
    assert value(samples, "streamsed_last_seq") == last_seq
    assert value(samples, "streamsed_journal", state="on") == 1
    for kind in ("onset", "offset"):
        name = f"streamsed_{kind}_latency_seconds"
        assert value(samples, f"{name}_count", label="high") == 1
        assert value(samples, f"{name}_bucket", label="high", le="+Inf") == 1
        assert 0 < value(samples, f"{name}_sum", label="high") < PATIENCE_S
    assert value(samples, "process_resident_memory_bytes") > 1e7


def test_losses_and_waiting_audio_are_counted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other source keeps the daemon, and with it the server, from ending.
    other = recording(tmp_path / "other.wav", tones([], duration_s=60.0), paced=True)
    config = configure(bundle, [PIPE | {"live": True}, other], queue_s=4.0, metrics=METRICS)
    pipeline = Pipeline.of(config)
    with (
        standard_input(monkeypatch) as put,
        held_at(20, pipeline, monkeypatch) as held,
        running(config) as run,
    ):
        put(tones([], duration_s=32.0)[: 2 * SAMPLE_RATE])
        assert held.reached.wait(PATIENCE_S)
        put(tones([], duration_s=30.0))
        put(None)
        run.daemon.sessions[0].join(PATIENCE_S)
        samples = scrape(run.daemon)
        assert 3.0 < value(samples, "streamsed_queue_seconds", source="pipe") <= 4.0
        held.release.set()
        run.until(("overloaded", True))
        samples = scrape(run.daemon)
        dropped_s = value(samples, "streamsed_dropped_samples_total", source="pipe") / SAMPLE_RATE
        assert 25 < dropped_s < 28


def test_health_follows_the_daemon(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsed.service.health.STUCK_S", 0.2)
    config = configure(bundle, [PIPE], metrics=METRICS)
    pipeline = Pipeline.of(config)
    with (
        standard_input(monkeypatch) as put,
        held_at(5, pipeline, monkeypatch) as held,
        running(config) as run,
    ):
        run.until(("state", DaemonState.STARTED))
        status, body = health(run.daemon, "/readyz")
        assert (status, body["status"]) == (503, "failing")
        assert "waiting for" in body["reason"]
        assert health(run.daemon, "/healthz") == (200, {"status": "ok"})
        put(tones([], duration_s=2.0))
        assert held.reached.wait(PATIENCE_S)
        run.until(("state", SourceState.RUNNING))
        await_health(run.daemon, "/readyz", 200)
        stuck = await_health(run.daemon, "/healthz", 503)
        assert "detection has not advanced for" in stuck["reason"]
        assert "detection has not advanced for" in (run.daemon.status().trouble or "")
        held.release.set()
        await_health(run.daemon, "/healthz", 200)


def await_health(daemon: Daemon, path: str, wanted: int) -> dict[str, str]:
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.05)):
        status, body = health(daemon, path)
        if status == wanted:
            return body
        pause.wait(0.05)
    raise AssertionError(f"{path} never became {wanted}: {body}")


def test_a_daemon_that_waits_for_audio_is_alive() -> None:
    assert liveness(detecting_since=None, now=1e9).trouble is None
    for what in ("detecting_since", "recording_since", "beat_at"):
        known = {"detecting_since": None, what: 100.0}
        assert liveness(now=100.0 + STUCK_S / 2, **known).trouble is None
        assert liveness(now=100.0 + 2 * STUCK_S, **known).trouble is not None
    assert liveness(detecting_since=None, beat_at=100.0, beat_s=3600.0, now=200.0).trouble is None


@pytest.mark.parametrize(
    ("started", "ending", "states", "trouble"),
    [
        (True, False, [SourceState.RUNNING, SourceState.LOST], None),
        (True, False, [SourceState.CONNECTING], None),
        (True, False, [SourceState.ENDED, SourceState.ENDED], "every source has ended"),
        (False, False, [SourceState.CONNECTING], "starting"),
        (True, True, [SourceState.RUNNING], "stopping"),
    ],
)
def test_who_is_ready(
    started: bool, ending: bool, states: list[SourceState], trouble: str | None
) -> None:
    found = readiness(started=started, ending=ending, states=states)
    assert (found.trouble or "").startswith(trouble or "")
    assert found.http_status == (200 if trouble is None else 503)


def test_an_address_in_use_stops_the_start(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        standard_input(monkeypatch),
        running(configure(bundle, [PIPE], metrics=METRICS)) as run,
    ):
        assert run.daemon.monitor is not None
        taken = run.daemon.monitor.url.removeprefix("http://")
        again = Pipeline.of(configure(bundle, [PIPE], metrics={"bind": taken}))
        with pytest.raises(PublishError, match=r"address already in use; .* metrics\.bind"):
            Daemon(again)


def test_no_server_runs_unasked(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch), running(configure(bundle, [PIPE])) as run:
        assert run.daemon.monitor is None
        run.until(("state", DaemonState.STARTED))
        assert "http" not in {thread.name for thread in threading.enumerate()}
