"""Network streams in the daemon: half-open, broken off, restarted, changed, and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import Heartbeat, SourceState
from tests.bundles import FREQUENCIES_HZ
from tests.children import assert_gone, children
from tests.service.daemons import Running, configure, events, running, spans, statuses
from tests.service.recovery import QUICK, ends, until_state
from tests.sockets import AnyMessage, receive_until
from tests.sources.test_url import files_served
from tests.stream_servers import HttpServer, RtspServer, StreamServer, serving


def tone(rate: int, channels: int, label: str) -> NDArray[np.float32]:
    """A second of a tone, without a seam where it is repeated."""
    wave = 0.3 * np.sin(2 * np.pi * FREQUENCIES_HZ[label] * np.arange(rate) / rate)
    return np.repeat(wave.astype(np.float32)[:, np.newaxis], channels, axis=1)


def camera(server: StreamServer, **entry: Any) -> dict[str, Any]:
    assert isinstance(server, (HttpServer, RtspServer))
    return {"type": "url", "name": "cam", "url": server.url, "stall_s": 3.0} | entry


def until_onset(run: Running, label: str) -> list[AnyMessage]:
    return run.until(("kind", Kind.ONSET), ("label", label))


@pytest.mark.parametrize("kind", [HttpServer, RtspServer])
def test_a_stream_falls_silent_breaks_off_and_comes_back_in_another_format(
    bundle: Path, kind: type[StreamServer]
) -> None:
    with (
        serving(kind(tone(16_000, 1, "low"), 16_000)) as server,
        running(configure(bundle, [camera(server)], retry=QUICK)) as run,
    ):
        messages = until_onset(run, "low")
        server.playing.clear()  # half-open: nothing comes, nothing ends
        messages += until_state(run, "cam", SourceState.STALLED)
        server.rate, server.loop = 44_100, tone(44_100, 2, "mid")
        server.playing.set()
        messages += until_onset(run, "mid")
        server.down()
        messages += until_state(run, "cam", SourceState.LOST)
        server.rate, server.loop = 8_000, tone(8_000, 1, "low")
        server.up()
        messages += until_onset(run, "low")
        run.daemon.stop("the test is over")
        messages += run.until_stopped()
    assert [end for end in ends(messages, "cam") if end is not SourceState.LOST] == [
        SourceState.CONNECTING,
        SourceState.RUNNING,
        Reason.SOURCE_LOST,
        SourceState.STALLED,
        SourceState.RUNNING,
        Reason.SOURCE_LOST,
        SourceState.RUNNING,
        Reason.SHUTDOWN,
        SourceState.ENDED,
    ]
    assert [label for label, _, _ in spans(events(messages))].count("low") == 2
    assert statuses(messages)[-1].reconnections == 2
    for message in messages:
        assert "secret" not in message.model_dump_json()


def test_an_ffmpeg_that_is_stopped_is_replaced(bundle: Path) -> None:
    before = children()
    with (
        serving(RtspServer(tone(16_000, 1, "low"), 16_000)) as server,
        running(configure(bundle, [camera(server)], retry=QUICK)) as run,
    ):
        messages = until_onset(run, "low")
        (ffmpeg,) = children() - before
        ffmpeg.suspend()
        messages += until_state(run, "cam", SourceState.STALLED)
        messages += until_onset(run, "low")
    assert events(messages)[1].reason is Reason.SOURCE_LOST
    assert_gone(ffmpeg)
    assert children() <= before, "another one is left behind"


def test_a_stream_is_not_there_yet(bundle: Path) -> None:
    with serving(HttpServer(tone(16_000, 1, "low"), 16_000)) as server:
        server.down()
        with running(configure(bundle, [camera(server)], retry=QUICK)) as run:
            messages = until_state(run, "cam", SourceState.LOST)
            server.up()
            messages += until_onset(run, "low")
    refused = statuses(messages)[1].message or ""
    assert refused.startswith(f"cam: 'http://***@127.0.0.1:{server.port}/live.wav': ")
    assert refused.endswith("Connection refused (trying again)")


def test_a_start_that_waits_for_a_stream_can_be_stopped(bundle: Path) -> None:
    before = children()
    with serving(HttpServer(tone(16_000, 1, "low"), 16_000)) as server:
        server.playing.clear()
        source = camera(server, required=True, stall_s=3_600.0)
        with running(configure(bundle, [source])) as run:
            while not children() - before:
                assert run.exit_code is None
            run.daemon.stop("the test is over")
            messages = run.until_stopped()
    assert run.exit_code == 0
    assert ends(messages, "cam")[-1] is SourceState.ENDED
    assert children() <= before


def test_a_stream_with_an_end(bundle: Path) -> None:
    with (
        serving(RtspServer(tone(16_000, 1, "low"), 16_000)) as server,
        running(configure(bundle, [camera(server, reconnect=False)])) as run,
    ):
        messages = until_onset(run, "low")
        server.break_off()
        messages += run.until_stopped()
    assert ends(messages, "cam")[-1] in {SourceState.ENDED, SourceState.LOST}
    assert len(spans(events(messages))) == 1
    assert server.connections == 1


def until_position(run: Running, seconds: float) -> list[AnyMessage]:
    """Receive until so much audio of the camera was processed."""

    def there(message: AnyMessage) -> bool:
        if not isinstance(message, Heartbeat):
            return False
        position = message.sources[0].position
        return position is not None and position.seconds >= seconds

    return receive_until(run.subscriber, there)


def lateness_s(messages: Sequence[AnyMessage]) -> float:
    """How much later than its time, by its own word, the latest audio was processed."""
    beat = next(m for m in reversed(messages) if isinstance(m, Heartbeat))
    assert beat.sources[0].position is not None
    return (beat.published - beat.sources[0].position.utc).total_seconds()


@pytest.mark.parametrize("kind", [HttpServer, RtspServer])
def test_audio_that_a_server_drops_is_a_gap_and_the_time_is_right_again(
    bundle: Path, kind: type[StreamServer]
) -> None:
    lost_s = 4.0
    with (
        serving(kind(tone(16_000, 1, "low"), 16_000)) as server,
        running(configure(bundle, [camera(server, stall_s=20.0)], retry=QUICK)) as run,
    ):
        messages = until_onset(run, "low") + until_position(run, 6.0)
        before_s = lateness_s(messages)
        server.dropping.set()
        sleep(lost_s)
        server.dropping.clear()
        after = until_onset(run, "low")  # of the same tone, after the gap
        after += until_position(run, events(after)[-1].onset.seconds + 3.0)
        run.daemon.stop("the test is over")
        messages += after + run.until_stopped()
    (ended,) = [m for m in events(messages) if m.reason is Reason.GAP]
    assert ended.kind is Kind.OFFSET
    notified = [m.message for m in statuses(messages) if m.lost_samples]
    assert notified[0] == "audio is lost before it arrives"
    last = statuses(messages)[-1]
    assert last.lost_samples / 16_000 == pytest.approx(lost_s, abs=1.0)
    assert last.reconnections == 0
    assert abs(lateness_s(after) - before_s) < 1.0


def test_audio_that_is_late_and_comes_at_once_is_no_gap(bundle: Path) -> None:
    with (
        serving(HttpServer(tone(16_000, 1, "low"), 16_000)) as server,
        running(configure(bundle, [camera(server, stall_s=20.0)], queue_s=30.0)) as run,
    ):
        messages = until_onset(run, "low") + until_position(run, 5.0)
        for _ in range(3):
            server.holding.set()
            sleep(2.5)
            server.holding.clear()
            messages += until_position(run, 1.0)
        messages += until_position(run, 14.0)
        late_s = lateness_s(messages)
        run.daemon.stop("the test is over")
        messages += run.until_stopped()
    assert len(spans(events(messages))) == 1, "one tone, without an end"
    assert statuses(messages)[-1].lost_samples == 0
    assert abs(late_s) < 2.0


def test_a_server_that_is_faster_than_time_loses_nothing(bundle: Path, tmp_path: Path) -> None:
    """As a recording is that somebody has put on a web server."""
    soundfile.write(tmp_path / "a.wav", np.tile(tone(16_000, 1, "low"), (14, 1)), 16_000)
    with files_served(tmp_path) as address:
        source = {"type": "url", "name": "cam", "url": f"{address}/a.wav", "reconnect": False}
        with running(configure(bundle, [source])) as run:
            messages = run.until_stopped()
    (span,) = spans(events(messages))
    assert span[2] == pytest.approx(14.0, abs=0.1)
    last = statuses(messages)[-1]
    assert (last.lost_samples, last.dropped_samples) == (0, 0)
