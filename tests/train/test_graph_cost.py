"""What a step costs: counted by hand on small graphs, and kept from rising in shipped bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from train.graph_cost import graph_cost

MODELS = Path(__file__).parents[2] / "models"


def test_counts_products_convolutions_and_recurrent_layers(tmp_path: Path) -> None:
    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["maps"], kernel_shape=[3], pads=[1, 1]),
            helper.make_node("Transpose", ["maps"], ["steps"], perm=[2, 0, 1]),
            helper.make_node("GRU", ["steps", "w", "r"], ["hidden"], hidden_size=5),
            helper.make_node("MatMul", ["hidden", "head"], ["scores"]),
        ],
        "step",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [8, 1, "batch", 7])],
        [
            weight("kernel", 4, 2, 3),
            weight("w", 1, 15, 4),
            weight("r", 1, 15, 5),
            weight("head", 5, 7),
        ],
    )
    path = tmp_path / "step.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    cost = graph_cost(path)
    assert cost.multiply_adds == {
        "Conv": 4 * 8 * 2 * 3,
        "GRU": 8 * 15 * (4 + 5),
        "MatMul": 8 * 5 * 7,
    }
    assert cost.operators == {"Conv": 1, "Transpose": 1, "GRU": 1, "MatMul": 1}


@pytest.mark.parametrize(
    ("graph", "multiply_adds", "nodes", "moves"),
    [
        ("domestic/crnn.onnx", 8_600_000, 91, 37),
        ("domestic-jss/crnn.onnx", 8_600_000, 91, 37),
        ("domestic-jss/domestic-stage2.onnx", 64_000_000, 580, 231),
    ],
)
def test_shipped_steps_do_not_grow(graph: str, multiply_adds: int, nodes: int, moves: int) -> None:
    """No timing can hold this on a loaded machine; counts can. Lower them when they fall."""
    cost = graph_cost(MODELS / graph)
    moving = ("Transpose", "Reshape", "Gather", "Concat", "Slice", "Split", "Unsqueeze", "Squeeze")
    assert cost.total <= multiply_adds
    assert cost.operators.total() <= nodes
    assert sum(cost.operators[kind] for kind in moving) <= moves
