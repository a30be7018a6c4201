"""Export of joint models: one step function, against the offline forward and in the runtime."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from streamsed import bundle
from streamsed.bundle.manifest import Member
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Reason
from streamsed.sources.block import Block
from tests.detect.run import Collected, step_all
from tests.train.test_export_kinds import CHUNK, kitchen, noise
from tests.train.tiny_joint import joint_model
from tests.train.tiny_models import CLASSES, tiny_model
from train.export import check_parity, export_step, run_graph
from train.models.jss import JSS
from train.models.model import SoundEventModel
from train.models.presets import preset
from train.models.registry import build

Exported = tuple[SoundEventModel, Path, Member]

LARGEST_STATE_BYTES = 2e6
KINDS = {
    "cumulative-causal": lambda: joint_model("causal"),
    "channel-gru": lambda: joint_model("gru", "channel"),
    "paper": lambda: joint_model("crnn2021", "global"),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """A plain detector and joint models. Exporting takes seconds: it is done once."""
    folder, done = tmp_path_factory.mktemp("joint"), {}
    for kind, make in {"plain": lambda: tiny_model("causal"), **KINDS}.items():
        model, path = make(), folder / f"{kind}.onnx"
        done[kind] = model, path, export_step(model, path, name=kind)
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_equal_the_offline_forward(kind: str, exports: dict[str, Exported]) -> None:
    model, path, member = exports[kind]
    assert isinstance(model, JSS)
    silence = np.zeros(3 * CHUNK, np.float32)
    for audio in (noise(40), np.concatenate([silence, kitchen(10), silence])):
        assert check_parity(model, path, member, audio) < 1e-4
    scores = run_graph(path, member, noise(12).reshape(12, CHUNK))
    assert scores.std() > 0.01  # or anything would agree


def test_streams_in_a_batch_do_not_meet(exports: dict[str, Exported]) -> None:
    """Rows at different places in their streams, each with M rows of the detector's state."""
    _, path, member = exports["cumulative-causal"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    chunks = noise(9).reshape(9, CHUNK)
    trace = []
    state = {s.name: np.zeros((1, *s.shape), np.float32) for s in member.states}
    for chunk in chunks:
        feed = {"chunk": chunk[None], **state}
        result = session.run(None, feed)
        trace.append((feed, result))
        state = {s.name: after for s, after in zip(member.states, result[1:], strict=True)}
    rows = [8, 0, 3]
    feed = {name: np.concatenate([trace[row][0][name] for row in rows]) for name in trace[0][0]}
    for index, together in enumerate(session.run(None, feed)):
        alone = np.concatenate([trace[row][1][index] for row in rows])
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["joint-small", "joint-base"])
def test_a_stream_s_state_is_below_two_megabytes(name: str) -> None:
    step = build(preset(name, tuple("abcdefghij"))).step()
    floats = sum(math.prod(shape) for shape in step.state_shapes().values())
    assert 4 * floats < LARGEST_STATE_BYTES


def test_an_ensemble_runs_in_the_detector(exports: dict[str, Exported], tmp_path: Path) -> None:
    """What the runtime decodes is the weighted mean of a plain and a joint model's own scores."""
    weights = {"plain": 1.0, "cumulative-causal": 3.0}
    chunks = noise(8).reshape(8, CHUNK)
    scores, members = {}, []
    (tmp_path / "ensemble").mkdir()
    for kind, weight in weights.items():
        _, path, member = exports[kind]
        (tmp_path / "ensemble" / path.name).write_bytes(path.read_bytes())
        scores[kind] = run_graph(path, member, chunks)
        members.append(member.model_copy(update={"weight": weight}).model_dump(mode="json"))
    bundle.write_selftest(tmp_path / "ensemble", chunks=chunks, scores=scores)
    bundle.write_manifest(
        tmp_path / "ensemble",
        {
            "schema": "streamsed.bundle/1",
            "name": "ensemble",
            "version": "1",
            "classes": list(CLASSES),
            "sample_rate": 16000,
            "chunk_samples": CHUNK,
            "frame_samples": 1024,
            "members": members,
            "postprocessing": {label: {} for label in CLASSES},
            "provenance": {"recipe": "none", "data": "none", "licences": []},
        },
    )
    detector = Detector(Engine(bundle.load(tmp_path / "ensemble"), provider="cpu"))
    audio = np.append(noise(12), noise(1)[:1500])  # ends inside a frame
    detector.add("room")
    for first in range(0, len(audio), 1000):
        detector.push("room", Block(audio[first : first + 1000], first))
    detector.end("room", Reason.END_OF_STREAM)
    collected = {"room": Collected()}
    step_all(detector, collected)
    decoded = np.concatenate([scores for _, scores in collected["room"].frames])
    padded = np.append(audio, np.zeros(-len(audio) % CHUNK, np.float32))
    with torch.no_grad():
        own = [exports[kind][0].scores(torch.from_numpy(padded)[None])[0] for kind in weights]
    expected = (own[0] + 3.0 * own[1]).numpy() / 4.0
    assert len(decoded) == -(-len(audio) // 1024)
    np.testing.assert_allclose(decoded, expected[: len(decoded)], rtol=0, atol=1e-4)
