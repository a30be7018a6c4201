"""What holds for all tests."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# An example may take as long as a busy machine makes it take; no test is about time.
settings.register_profile("streamsed", settings.default, deadline=None)
settings.load_profile("streamsed")
# For `make check`: enough to find most mistakes.
settings.register_profile("quick", settings.get_profile("streamsed"), max_examples=15)

# A shell starts background jobs with SIGINT ignored, and processes inherit that: Ctrl-C, which
# some tests send to the processes that they start, would do nothing in such a job.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def state_of_its_own(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Keep each test's journals, in every process that it starts, from the user's and others'."""
    state = tmp_path_factory.getbasetemp() / "state" / str(abs(hash(request.node.nodeid)))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return state / "streamsed"
