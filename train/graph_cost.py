"""What one step of a graph costs on any machine: multiply-adds and operators by kind."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import NodeProto
from onnx.tools.update_model_dims import update_inputs_outputs_dims


@dataclass(frozen=True)
class GraphCost:
    """Counts of one step of one stream.

    Attributes:
        multiply_adds: of matrix products, convolutions and recurrent layers, by operator.
        operators: nodes by operator, as the graph stores them.
    """

    multiply_adds: Counter[str]
    operators: Counter[str]

    @property
    def total(self) -> int:
        """All multiply-adds."""
        return self.multiply_adds.total()


def graph_cost(path: Path) -> GraphCost:
    """Count what a step function costs at a batch of one.

    Raises:
        ValueError: a shape that a count needs cannot be inferred.
    """
    model = onnx.load(path)
    graph = model.graph
    sizes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    inputs = {value.name: sizes[value.name] for value in graph.input}
    outputs = {value.name: sizes[value.name] for value in graph.output}
    model = update_inputs_outputs_dims(model, inputs, outputs)
    model.graph.ClearField("value_info")  # the batch axis of what is inferred from here on is 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    counts: Counter[str] = Counter()
    for node in inferred.node:
        if count := _multiply_adds(node, shapes):
            counts[node.op_type] += count
    return GraphCost(counts, Counter(node.op_type for node in graph.node))


def _multiply_adds(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    kind = node.op_type
    if kind in ("MatMul", "Gemm"):
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        inner = shapes[node.input[0]][-2 if transposed else -1]
        count = _size(node.output[0], shapes) * inner
    elif kind == "Conv":
        count = _size(node.output[0], shapes) * math.prod(shapes[node.input[1]][1:])
    elif kind == "ConvTranspose":
        count = _size(node.input[0], shapes) * math.prod(shapes[node.input[1]][1:])
    elif kind in ("GRU", "LSTM"):
        steps, batch, _ = shapes[node.input[0]]
        count = steps * batch * sum(math.prod(shapes[name]) for name in node.input[1:3])
    else:
        return 0
    if count <= 0:
        raise ValueError(f"{node.name} ({kind}): its shapes cannot be inferred")
    return count


def _size(name: str, shapes: dict[str, list[int]]) -> int:
    return math.prod(shapes[name])
