"""How many clients may be connected, where descriptors are few."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from streamsed.service.descriptors import connections


@pytest.mark.parametrize("limit", [256, 512, 1024, 4096])
@pytest.mark.parametrize("sources", [0, 1, 10])
def test_enough_are_left_for_the_rest(
    limit: int, sources: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit + open_now, limit))  # noqa: ARG005
    subscribers, requesting = connections(wanted=256, sources=sources)
    assert 4 <= requesting <= 64
    assert 4 <= subscribers <= 256
    assert 3 * (subscribers + requesting) + 6 * sources <= limit - 50
    if limit == 4096:
        assert (subscribers, requesting) == (256, 64)


def test_there_is_always_room_for_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10, 10))  # noqa: ARG005
    assert connections(wanted=256, sources=500) == (4, 4)
