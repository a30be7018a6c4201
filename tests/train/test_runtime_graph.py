"""Graphs are rewritten for the runtime without changing what they compute."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from train.runtime_graph import for_runtime


def recurrent_graph(direction: str) -> onnx.ModelProto:
    """Return a GRU whose directions are merged as PyTorch's exporter merges them."""
    directions = 2 if direction == "bidirectional" else 1
    rng = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name)

    def index(name: str, *values: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values), name)

    graph = helper.make_graph(
        [
            helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5, direction=direction),
            helper.make_node("Transpose", ["y"], ["swapped"], perm=[0, 2, 1, 3]),
            helper.make_node("Shape", ["swapped"], ["shape"]),
            helper.make_node("Slice", ["shape", "zero", "two"], ["outer"]),
            helper.make_node("Concat", ["outer", "rest"], ["target"], axis=0),
            helper.make_node("Reshape", ["swapped", "target"], ["merged"]),
        ],
        "step",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, "batch", 3])],
        [helper.make_tensor_value_info("merged", TensorProto.FLOAT, [4, "batch", 5 * directions])],
        [
            weight("w", directions, 15, 3),
            weight("r", directions, 15, 5),
            index("zero", 0),
            index("two", 2),
            index("rest", -1),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return model


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_directions_merge_without_computing_a_shape(direction: str) -> None:
    before = recurrent_graph(direction)
    x = np.random.default_rng(4).normal(0, 1, (4, 2, 3)).astype(np.float32)

    def result(model: onnx.ModelProto) -> np.ndarray:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return np.asarray(session.run(None, {"x": x})[0])

    expected = result(before)
    after = for_runtime(before)
    assert not {node.op_type for node in after.graph.node} & {"Shape", "Slice", "Concat"}
    np.testing.assert_array_equal(result(after), expected)
