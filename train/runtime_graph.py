"""What the exporter writes, rewritten for the runtime: the same values with less data moved."""

from __future__ import annotations

import tempfile

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import NodeProto, helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass


def for_runtime(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph that a bundle holds: rewritten, folded, fused, and without dead nodes.

    What depends on a machine is the runtime's business. ONNX Runtime's basic level is written in
    plain ONNX operators and changes no result but by rounding.
    """
    merge_directions(model.graph)
    model = ir.to_proto(RemoveUnusedNodesPass()(ir.from_proto(model)).model)
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/graph.onnx"
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        optimised = onnx.load(options.optimized_model_filepath)
    used = {node.domain for node in optimised.graph.node}
    for opset in [o for o in optimised.opset_import if o.domain not in used]:
        optimised.opset_import.remove(opset)  # the runtime names every domain that it knows
    return optimised


def merge_directions(graph: onnx.GraphProto) -> None:
    """Let a recurrent layer's output ``(T, D, B, H)`` become ``(T, B, D * H)`` by constants alone.

    The exporter computes the shape that it reshapes to, in ten nodes a layer and step. With one
    direction nothing has to move at all.
    """
    producers = {name: node for node in graph.node for name in node.output}
    direction_axis, merged_shape = "recurrent_direction_axis", "recurrent_merged_shape"
    found = False
    for node in graph.node:
        swap = producers.get(node.input[0]) if node.op_type == "Reshape" else None
        layer = producers.get(swap.input[0]) if swap is not None and _swaps(swap) else None
        if swap is None or layer is None or layer.op_type not in ("GRU", "LSTM"):
            continue
        found = True
        if _attribute(layer, "direction") == b"bidirectional":
            node.input[1] = merged_shape
            node.ClearField("attribute")  # 0 stands for the length that an axis has
        else:
            node.op_type = "Squeeze"
            node.input[:] = [swap.input[0], direction_axis]
            node.ClearField("attribute")
    if found:
        graph.initializer.append(numpy_helper.from_array(np.array([1]), direction_axis))
        graph.initializer.append(numpy_helper.from_array(np.array([0, 0, -1]), merged_shape))


def _swaps(node: NodeProto) -> bool:
    return node.op_type == "Transpose" and _attribute(node, "perm") == [0, 2, 1, 3]


def _attribute(node: NodeProto, name: str) -> object:
    found = [a for a in node.attribute if a.name == name]
    return helper.get_attribute_value(found[0]) if found else None
