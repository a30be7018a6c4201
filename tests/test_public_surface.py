"""What other programs may build on: these modules, and of them these names."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

SURFACE = {
    "streamsed": ["Event", "Onset", "Stream", "__version__", "detect_file"],
    "streamsed.bundle": [
        "Bundle",
        "ClassPostprocessing",
        "DEFAULT_BUNDLE",
        "Manifest",
        "Member",
        "SelfTest",
        "StateTensor",
        "find_bundle",
        "load",
        "write_manifest",
        "write_selftest",
    ],
    "streamsed.client": [
        "AsyncSubscriber",
        "CurveKeys",
        "DaemonMessage",
        "EventMessage",
        "Gap",
        "GapReason",
        "Heartbeat",
        "LevelMessage",
        "StatusMessage",
        "Subscriber",
        "parse",
    ],
    "streamsed.detect": [
        "Detector",
        "Engine",
        "Kind",
        "Reason",
        "Score",
        "ScoredFrames",
        "StepResult",
        "Transition",
    ],
    "streamsed.errors": [
        "BundleError",
        "ConfigError",
        "DataError",
        "JournalError",
        "KeysError",
        "MessageError",
        "ProviderError",
        "PublishError",
        "ReplayError",
        "ReviewError",
        "SinkError",
        "SourceError",
        "SourceLost",
        "StreamsedError",
    ],
    "streamsed.evaluate": [
        "Evaluation",
        "EvaluationData",
        "Metric",
        "ScoreTable",
        "evaluate",
        "read_evaluation_data",
        "read_metrics",
        "read_replay",
        "write_metrics",
        "write_report",
    ],
    "streamsed.sources": ["Block", "EndOfSource", "ResampledSource", "Source"],
}
"""A name that is missing from here is not public; one that leaves it is a breaking change."""

HEAVY = ("numpy", "onnxruntime", "pandas", "soundfile", "torch", "zmq")


@pytest.mark.parametrize("module", SURFACE)
def test_the_surface_is_what_is_declared(module: str) -> None:
    imported = import_module(module)
    assert sorted(imported.__all__) == SURFACE[module]
    for name in SURFACE[module]:
        exported = getattr(imported, name)
        assert name == "__version__" or exported is not None
        assert name.isupper() or isinstance(exported, str) or exported.__doc__, f"{name}: no docs"


def test_a_name_that_is_not_exported_is_none_of_the_module() -> None:
    for module in ("streamsed.detect", "streamsed.sources", "streamsed.evaluate"):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = import_module(module).nothing


def test_what_clients_import_is_light() -> None:
    code = (
        "import sys, streamsed.detect, streamsed.sources, streamsed.evaluate, streamsed.errors\n"
        f"assert not sys.modules.keys() & set({HEAVY})\n"
        "import streamsed.client\n"
        f"print(sorted(sys.modules.keys() & set({HEAVY})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['zmq']\n"
