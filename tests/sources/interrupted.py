"""Sources that are interrupted at the worst moment."""

from __future__ import annotations

import pytest

from streamsed.errors import SourceError
from streamsed.sources.child import ChildProcess
from streamsed.sources.isolated_microphone import IsolatedMicrophone
from streamsed.sources.url import Url
from tests.sources.reading import RATE


def check_interruption_before_the_child_is_seen(
    source: Url | IsolatedMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupt a source between the start of its process and its own knowing of it."""

    class Interrupted(ChildProcess):
        def __init__(self, *command: str) -> None:
            super().__init__(*command)
            source.interrupt()

        def read(self, timeout_s: float) -> bytes | None:
            pytest.fail(f"waits up to {timeout_s} s for what nobody wants any more")

    monkeypatch.setattr(f"{type(source).__module__}.ChildProcess", Interrupted)
    with pytest.raises(SourceError, match="closed while it was being opened"):
        source.open(RATE)
