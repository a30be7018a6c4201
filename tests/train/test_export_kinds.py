"""Export of models of every kind: graphs against offline forwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import soxr
import torch

from streamsed.bundle.manifest import Member
from tests.train.tiny_models import KINDS, tiny_model
from train.export import OPSET, ExportError, check_parity, export_step
from train.models.model import SoundEventModel
from train.runtime_graph import for_runtime

RECORDING = Path("examples/kitchen.ogg")
CHUNK = 4096


def noise(chunks: int) -> np.ndarray:
    """Bursts over a quiet background, whole chunks."""
    rng = np.random.default_rng(41)
    gains = np.repeat(rng.choice([0.003, 0.3], 2 * chunks), CHUNK // 2)
    return (rng.normal(0, 1, CHUNK * chunks) * gains).astype(np.float32)


def kitchen(seconds: float) -> np.ndarray:
    audio, rate = soundfile.read(RECORDING, dtype="float32", always_2d=True)
    mono = audio[: int(rate * seconds)].mean(axis=1)
    return soxr.resample(mono, rate, 16000).astype(np.float32)


Exported = tuple[SoundEventModel, Path, Member]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Every kind, with tags where there are any. Exporting takes seconds: it is done once."""
    folder, done = tmp_path_factory.mktemp("kinds"), {}
    for kind in KINDS:
        model, path = tiny_model(kind), folder / f"{kind}.onnx"
        member = export_step(model, path, name=kind, tags=kind != "causal")
        done[kind] = model, path, member
    return done


@pytest.fixture(params=KINDS)
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> Exported:
    return exports[request.param]


def test_graphs_equal_the_offline_forward(exported: Exported) -> None:
    model, path, member = exported
    silence = np.zeros(3 * CHUNK, np.float32)
    for audio in (noise(60), np.concatenate([silence, kitchen(10), silence])):
        assert check_parity(model, path, member, audio) < 1e-4


def test_only_the_batch_axis_is_free(exported: Exported) -> None:
    graph = onnx.load(exported[1]).graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        assert dims[0].dim_param
        assert all(dim.HasField("dim_value") for dim in dims[1:]), value.name
    assert b".py" not in exported[1].read_bytes()


def test_graphs_are_optimised_with_plain_operators_alone(exported: Exported) -> None:
    graph = onnx.load(exported[1])
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", OPSET)]
    left = {node.op_type for node in graph.graph.node}
    assert not left & {"BatchNormalization", "Constant", "Dropout", "Identity"}
    # Nothing is left for the basic level to do.
    assert len(for_runtime(graph).graph.node) == len(graph.graph.node)


def test_streams_in_a_batch_do_not_meet(exported: Exported) -> None:
    """Each row is scored as alone, though the rows are at different places in their streams."""
    _, path, member = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = ["scores", *(f"next_{s.name}" for s in member.states)]
    chunks = noise(9).reshape(9, CHUNK)
    trace = []
    state = {s.name: np.zeros((1, *s.shape), np.float32) for s in member.states}
    for chunk in chunks:
        feed = {"chunk": chunk[None], **state}
        result = session.run(outputs, feed)
        trace.append((feed, result))
        state = {s.name: after for s, after in zip(member.states, result[1:], strict=True)}
    rows = [8, 0, 3]
    feed = {name: np.concatenate([trace[row][0][name] for row in rows]) for name in trace[0][0]}
    for index, together in enumerate(session.run(outputs, feed)):
        alone = np.concatenate([trace[row][1][index] for row in rows])
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "ahead"), [("gru", 0), ("crnn2021", 16)])
def test_look_ahead_is_chosen_at_export(kind: str, ahead: int, tmp_path: Path) -> None:
    model, path = tiny_model(kind), tmp_path / "m.onnx"
    member = export_step(model, path, name="m", latency_frames=ahead)
    assert member.latency_frames == ahead
    assert check_parity(model, path, member, noise(20)) < 1e-4
    wrong = member.model_copy(update={"latency_frames": 7})
    with pytest.raises(ExportError):
        check_parity(model, path, wrong, noise(20))


@pytest.mark.parametrize("kind", ["gru", "attention", "crnn2021"])
def test_tags_leave_the_graph_beside_the_scores(kind: str, exports: dict[str, Exported]) -> None:
    model, path, member = exports[kind]
    assert member.tags
    names = [value.name for value in onnx.load(path).graph.output]
    assert names == ["scores", "tags", *(f"next_{s.name}" for s in member.states)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {s.name: np.zeros((1, *s.shape), np.float32) for s in member.states}
    step = model.step(tags=True)
    state = step.initial_state(1)
    for chunk in noise(8).reshape(8, 1, CHUNK):
        _, tags, *after = session.run(None, {"chunk": chunk, **feed})
        feed = {s.name: value for s, value in zip(member.states, after, strict=True)}
        with torch.no_grad():
            _, expected, *rest = step(torch.from_numpy(chunk), *state)
        state = tuple(rest)
        np.testing.assert_allclose(tags, expected.numpy(), rtol=0, atol=1e-4)
