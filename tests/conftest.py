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

# What starts daemons, processes, browsers or trainings is slow as a whole, but for what is listed.
SLOW = (
    *("cli", "replay", "service", "subscribe", "train", "clips/test_writer.py"),
    *("bundle/test_making.py", "evaluate/test_console.py", "evaluate/test_measure.py"),
    *("evaluate/test_report.py", "evaluate/test_report_browser.py", "publish/test_publisher.py"),
    *("sources/test_capture.py", "sources/test_child.py", "sources/test_devices.py"),
    *("sources/test_isolated_microphone.py", "sources/test_microphone.py", "sources/test_url.py"),
    *("sources/test_url_refusals.py", "test_bench.py", "test_examples.py", "test_install.py"),
    *("test_containers.py",),
    *("test_stream.py", "detect/test_imports.py"),
)
QUICK = (
    *("replay/test_grouping.py", "replay/test_recordings.py", "replay/test_score_writer.py"),
    *("service/test_losses.py", "service/test_silence.py"),
    *("train/test_data_events.py", "train/test_learning_recipe.py", "train/test_registry.py"),
    *("train/test_windows.py", "train/test_writing.py"),
)

# A shell starts background jobs with SIGINT ignored, and processes inherit that: Ctrl-C, which
# some tests send to the processes that they start, would do nothing in such a job.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow; ``make check`` leaves it out."""
    tests = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(tests)
        names = {path.as_posix(), *(parent.as_posix() for parent in path.parents)}
        if names & set(SLOW) and not names & set(QUICK):
            item.add_marker(pytest.mark.slow)


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
