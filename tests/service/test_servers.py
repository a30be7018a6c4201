"""Where the daemon listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsed.errors import PublishError
from streamsed.publish.endpoints import requests_address
from streamsed.publish.listening import open_listener
from streamsed.publish.publisher import Publisher
from streamsed.publish.responder import Responder
from streamsed.service.servers import bind_both
from tests.publish.test_front import beat
from tests.service.daemons import PIPE, configure, running
from tests.service.holding import standard_input
from tests.sockets import RANDOM_PORT


def test_requests_are_answered_next_to_any_port(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, state_of_its_own: Path
) -> None:
    with standard_input(monkeypatch), running(configure(bundle, [PIPE])) as run:
        (messages,), (requests,) = run.daemon.publisher.endpoints, run.daemon.responder.endpoints
        assert requests == requests_address(messages)


def test_a_port_whose_next_is_taken_is_given_back() -> None:
    bound: list[Publisher] = []

    def publisher() -> Publisher:
        bound.append(Publisher([RANDOM_PORT], heartbeat=beat))
        return bound[-1]

    def responder(publisher: Publisher) -> Responder:
        if len(bound) == 1:  # its next port, had somebody been quicker
            taken = open_listener(RANDOM_PORT, key="publish.bind", ipc_mode=0o600)
            with taken[0]:
                return Responder([taken[1]], {})
        return Responder([requests_address(publisher.endpoints[0])], {})

    messages, requests = bind_both(publisher, responder, attempts=50)
    try:
        assert len(bound) > 1
        assert [each.closed for each in bound] == [True] * (len(bound) - 1) + [False]
        assert requests.endpoints[0] == requests_address(messages.endpoints[0])
    finally:
        messages.close()
        requests.close()


def test_in_the_end_both_are_refused() -> None:
    bound: list[Publisher] = []

    def publisher() -> Publisher:
        bound.append(Publisher([RANDOM_PORT], heartbeat=beat))
        return bound[-1]

    def responder(publisher: Publisher) -> Responder:
        raise PublishError("cannot bind")

    with pytest.raises(PublishError, match="cannot bind"):
        bind_both(publisher, responder, attempts=3)
    assert [each.closed for each in bound] == [True] * 3
