"""What a running daemon answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zmq

from streamsed.detect.events import Kind
from streamsed.errors import PublishError
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.endpoints import requests_address
from streamsed.publish.messages import EventMessage
from streamsed.publish.schema import SCHEMA_FILE
from streamsed.service.daemon import Daemon
from streamsed.service.pipeline import Pipeline
from tests.bundles import tones
from tests.service.daemons import Running, configure, recording, running
from tests.service.test_daemon import PIPE, standard_input
from tests.sockets import PATIENCE_S

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def ask(run: Running, **request: Any) -> Any:
    """Ask as a program without this package would."""
    with zmq.Context() as context, context.socket(zmq.REQ) as asker:
        asker.set(zmq.LINGER, 0)
        asker.connect(run.daemon.responder.endpoints[0])
        asker.send_json(request)
        assert asker.poll(int(PATIENCE_S * 1e3)), "no answer"
        reply = asker.recv_json()
    jsonschema.validate(reply, SCHEMA)
    return reply


def test_a_daemon_answers_what_is_open_what_was_and_how_it_is(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, state_of_its_own: Path
) -> None:
    with standard_input(monkeypatch) as put, running(configure(bundle, [PIPE])) as run:
        put(tones([("low", 0.2, 0.6), ("mid", 1.0, 9.0)], duration_s=1.5))
        messages = run.until(("kind", Kind.ONSET), ("label", "mid"))
        (onset,) = [m for m in messages if isinstance(m, EventMessage) and m.label == "mid"]
        active = ask(run, get="active")
        assert list(active["sources"]) == ["pipe"]
        assert [event["event_id"] for event in active["sources"]["pipe"]] == [str(onset.event_id)]
        since = ask(run, get="since", seq=0, topics=["event/"])
        assert [(m["label"], m["kind"]) for m in since["messages"]] == [
            ("low", "onset"),
            ("low", "offset"),
            ("mid", "onset"),
        ]
        status = ask(run, get="status")
        assert [source["state"] for source in status["sources"]] == ["running"]
        assert status["journal"] == {"state": "on", "message": None}
        assert ask(run, get="nonsense")["schema"] == "streamsed.error/1"
        put(None)
        run.until_stopped()
    log = state_of_its_own / f"{JOURNAL_NAME}-wal"
    assert not log.exists() or not log.stat().st_size, "at rest the journal is one file"


def test_an_address_for_requests_that_is_taken(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav", tones([], duration_s=1.0))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as taken:
        taken.bind("tcp://127.0.0.1:*")
        address = taken.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        pipeline = Pipeline.of(configure(bundle, [source], publish={"requests": [address]}))
        with pytest.raises(PublishError, match=r"address already in use; .* publish\.requests"):
            Daemon(pipeline)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://127.0.0.1:5577", "tcp://127.0.0.1:5578"),
        ("tcp://[::1]:5577", "tcp://[::1]:5578"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("ipc:///run/streamsed/streamsed.sock", "ipc:///run/streamsed/streamsed-requests.sock"),
        ("ipc:///tmp/a.b/socket", "ipc:///tmp/a.b/socket-requests"),
        ("ipc:///tmp/.socket", "ipc:///tmp/.socket-requests"),
        ("ipc://@abstract", "ipc://@abstract-requests"),
        ("ipc://*", "ipc://*"),
    ],
)
def test_requests_are_answered_beside_the_messages(address: str, expected: str) -> None:
    assert requests_address(address) == expected
