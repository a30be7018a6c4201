"""Export: the graph computes what the model computes, and says when it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from streamsed.bundle.manifest import Member
from tests.train.test_causal_crnn import small_config
from train.checkpoint import load_model, save_model
from train.export import ExportError, check_parity, export_step, run_graph
from train.models.causal_crnn import CausalCRNN


@pytest.fixture(scope="module")
def model() -> CausalCRNN:
    torch.manual_seed(6)
    return CausalCRNN(small_config(latency_frames=3)).eval()


@pytest.fixture(scope="module")
def exported(model: CausalCRNN, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Member]:
    path = tmp_path_factory.mktemp("export") / "crnn.onnx"
    return path, export_step(model, path, name="crnn")


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(7).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def test_graph_equals_the_offline_forward(model: CausalCRNN, exported: tuple[Path, Member]) -> None:
    path, member = exported
    assert check_parity(model, path, member, noise(8)) < 1e-4
    assert member.latency_frames == 3


def test_a_changed_bias_is_noticed(
    model: CausalCRNN, exported: tuple[Path, Member], tmp_path: Path
) -> None:
    path, member = exported
    graph = onnx.load(path)
    bias = next(tensor for tensor in graph.graph.initializer if "head.bias" in tensor.name)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.05, bias.name))
    changed = tmp_path / "changed.onnx"
    onnx.save(graph, changed)
    with pytest.raises(ExportError, match=r"changed\.onnx differs"):
        check_parity(model, changed, member, noise(4))


def test_only_the_batch_axis_is_free(exported: tuple[Path, Member]) -> None:
    graph = onnx.load(exported[0]).graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        assert dims[0].dim_param
        assert all(dim.HasField("dim_value") for dim in dims[1:]), value.name


def test_graph_names_no_local_file(exported: tuple[Path, Member]) -> None:
    assert b".py" not in exported[0].read_bytes()


def test_scores_are_probabilities(exported: tuple[Path, Member]) -> None:
    path, member = exported
    scores = run_graph(path, member, noise(2)[: 4096 * 7].reshape(7, 4096))
    assert scores.shape == (7, 4, 3)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_checkpoint_rebuilds_the_model(model: CausalCRNN, tmp_path: Path) -> None:
    save_model(tmp_path / "m.pt", model, step=12)
    again = load_model(tmp_path / "m.pt")
    assert again.step == 12
    assert again.model.config == model.config
    audio = torch.from_numpy(noise(1)[: 1024 * 8])[None]
    with torch.no_grad():
        torch.testing.assert_close(again.model(audio)[0], model(audio)[0], rtol=0, atol=0)
