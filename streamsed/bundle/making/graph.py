"""The step function around a foreign model: windows, front end, activation, overlapping means.

A step takes a hop of samples, completes with it the window that ends there, and runs the model on
it. The scores of a frame are the mean over the windows that end within the look-ahead after it::

    window = [samples, chunk]                       next_samples = its end
    p[i]   = scores of the hop that lies i hops before the end of the window
    s[i]   = p[i] + sums[i - 1]                     next_sums = s[:look_ahead]
    scores = s[look_ahead] / (look_ahead + 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from streamsed.bundle.making.log_mel import LogMel
from streamsed.bundle.making.model import Interface, Model

Activation = Literal["none", "sigmoid", "softmax"]

_PREFIX = "model/"
_LAST = 2**31 - 1
_LOG10 = 1.0 / np.log(10.0)


@dataclass(frozen=True, slots=True)
class Windowing:
    """How windows lie over the stream.

    Attributes:
        rate: Hz.
        window_samples: a multiple of ``hop_samples``.
        hop_samples: of one step.
        look_ahead_hops: from 0 to one less than the hops of a window.
        frames_per_hop: scores that a hop has.
    """

    rate: int
    window_samples: int
    hop_samples: int
    look_ahead_hops: int
    frames_per_hop: int

    @property
    def hops(self) -> int:
        """Of a window."""
        return self.window_samples // self.hop_samples

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """By name, without the axes of the batch and the classes; only those that are needed."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.hops > 1:
            shapes["samples"] = (self.window_samples - self.hop_samples,)
        if self.look_ahead_hops:
            shapes["sums"] = (self.look_ahead_hops, self.frames_per_hop)
        return shapes


class _Nodes:
    """Collects nodes and constants; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"tensor_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def slice(self, tensor: str, first: int, last: int, *, axis: int = 1, output: str = "") -> str:
        bounds = (self.constant([bound], np.int64) for bound in (first, last, axis))
        return self.node("Slice", tensor, *bounds, output=output)

    def reshape(self, tensor: str, *shape: int, output: str = "") -> str:
        return self.node("Reshape", tensor, self.constant(shape, np.int64), output=output)


def step_graph(
    model: Model,
    interface: Interface,
    windowing: Windowing,
    *,
    log_mel: LogMel | None,
    activation: Activation,
) -> onnx.ModelProto:
    """Return the graph of a member: ``scores, next_... = step(chunk, ...)``."""
    writer = _Nodes()
    classes, frames = interface.classes, windowing.frames_per_hop
    window = "chunk"
    if windowing.hops > 1:
        window = writer.node("Concat", "samples", "chunk", axis=1)
        writer.slice(window, windowing.hop_samples, _LAST, output="next_samples")
    if interface.single:
        scores = _one_by_one(writer, model, interface, window, windowing, log_mel)
    else:
        scores = _model_scores(writer, model, interface, window, log_mel, rate=windowing.rate)
    match activation:
        case "sigmoid":
            scores = writer.node("Sigmoid", scores)
        case "softmax":
            scores = writer.node("Softmax", scores, axis=-1)
    averaged = _averaged(writer, scores, interface, windowing)
    clipped = writer.node("Clip", averaged, writer.constant(0.0), writer.constant(1.0))
    writer.reshape(clipped, -1, frames, classes, output="scores")

    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *shape])

    states = full_state_shapes(windowing, classes)
    inputs = [tensor("chunk", windowing.hop_samples)]
    inputs += [tensor(name, *shape) for name, shape in states.items()]
    outputs = [tensor("scores", frames, classes)]
    outputs += [tensor(f"next_{name}", *shape) for name, shape in states.items()]
    graph = helper.make_graph(writer.nodes, "step", inputs, outputs, writer.constants)
    made = helper.make_model(graph, opset_imports=model.proto.opset_import)
    made.ir_version = model.proto.ir_version
    made.functions.extend(_prefixed(model).functions)
    return made


def full_state_shapes(windowing: Windowing, classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the states as the manifest has them."""
    return {
        name: shape if name == "samples" else (*shape, classes)
        for name, shape in windowing.state_shapes.items()
    }


def _one_by_one(
    writer: _Nodes,
    model: Model,
    interface: Interface,
    windows: str,
    windowing: Windowing,
    log_mel: LogMel | None,
) -> str:
    """Run a model that has no free batch axis on each window of the batch in turn."""
    body = _Nodes()
    window = body.reshape("window", 1, windowing.window_samples)
    scores = _model_scores(body, model, interface, window, log_mel, rate=windowing.rate)
    body.reshape(scores, interface.frames, interface.classes, output="window_scores")
    shape = [interface.frames, interface.classes]
    graph = helper.make_graph(
        body.nodes,
        "one",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, [windowing.window_samples])],
        [helper.make_tensor_value_info("window_scores", TensorProto.FLOAT, shape)],
        [_renamed(constant, "one_") for constant in body.constants],
    )
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name.startswith(("constant_", "tensor_")):
                node.input[at] = f"one_{name}"
        for at, name in enumerate(node.output):
            if name.startswith("tensor_"):
                node.output[at] = f"one_{name}"
    return writer.node("Scan", windows, num_scan_inputs=1, body=graph)


def _renamed(constant: onnx.TensorProto, prefix: str) -> onnx.TensorProto:
    if constant.name.startswith("constant_"):
        constant.name = prefix + constant.name
    return constant


def _model_scores(
    writer: _Nodes,
    model: Model,
    interface: Interface,
    windows: str,
    log_mel: LogMel | None,
    *,
    rate: int,
) -> str:
    """Return the model's output for windows ``(B, W)`` as ``(B, frames, classes)`` float32."""
    content = windows if log_mel is None else _features(writer, windows, log_mel, rate=rate)
    taken = _in_layout(writer, content, interface)
    if interface.dtype is not np.float32:
        to = helper.np_dtype_to_tensor_dtype(np.dtype(interface.dtype))
        taken = writer.node("Cast", taken, to=to)
    inlined = _prefixed(model).graph
    writer.node("Identity", taken, output=_PREFIX + interface.input)
    writer.nodes.extend(inlined.node)
    writer.constants.extend(inlined.initializer)
    given = writer.node("Cast", _PREFIX + interface.output, to=TensorProto.FLOAT)
    batch = 1 if interface.single else -1
    if interface.classes_last:
        return writer.reshape(given, batch, interface.frames, interface.classes)
    given = writer.reshape(given, batch, interface.classes, interface.frames)
    return writer.node("Transpose", given, perm=[0, 2, 1])


def _prefixed(model: Model) -> onnx.ModelProto:
    """Return the model with names that cannot be those of the graph around it."""
    return compose.add_prefix(model.proto, _PREFIX, rename_functions=False)


def _in_layout(writer: _Nodes, content: str, interface: Interface) -> str:
    """Return ``(B, samples)`` or ``(B, bands, frames)`` as the model takes it."""
    layout = interface.layout
    if "frames" in layout and layout.index("frames") < layout.index("bands"):
        content = writer.node("Transpose", content, perm=[0, 2, 1])
    if layout[0] != "batch":
        content = writer.node("Squeeze", content, writer.constant([0], np.int64))
    ones = [at for at, axis in enumerate(layout) if axis == "one"]
    if ones:
        content = writer.node("Unsqueeze", content, writer.constant(ones, np.int64))
    return content


def _features(writer: _Nodes, windows: str, of: LogMel, *, rate: int) -> str:
    """Return log-mels ``(B, bands, frames)`` of windows ``(B, W)``."""
    signal = windows
    if of.preemphasis:
        before = writer.slice(signal, 0, -1)
        after = writer.slice(signal, 1, _LAST)
        scaled = writer.node("Mul", before, writer.constant(of.preemphasis))
        first = writer.slice(signal, 0, 1)
        signal = writer.node("Concat", first, writer.node("Sub", after, scaled), axis=1)
    if of.center:
        pads = [0, of.n_fft // 2, 0, of.n_fft // 2]
        signal = writer.node("Pad", signal, writer.constant(pads, np.int64), mode="reflect")
    signal = writer.node("Unsqueeze", signal, writer.constant([1], np.int64))
    kernel = writer.constant(of.kernel()[:, None])
    spectrum = writer.node("Conv", signal, kernel, strides=[of.hop_length])
    squares = writer.node("Mul", spectrum, spectrum)
    bins = of.n_fft // 2 + 1
    power = writer.node("Add", writer.slice(squares, 0, bins), writer.slice(squares, bins, _LAST))
    if of.power == 1:
        power = writer.node("Sqrt", power)
    mel = writer.node("MatMul", writer.constant(of.filters(rate)), power)
    if of.offset:
        mel = writer.node("Add", mel, writer.constant(of.offset))
    if of.floor is not None:
        mel = writer.node("Max", mel, writer.constant(of.floor))
    scale = {"ln": 1.0, "log10": _LOG10, "db": 10.0 * _LOG10}[of.log] / of.std
    scaled = writer.node("Mul", writer.node("Log", mel), writer.constant(scale))
    return writer.node("Sub", scaled, writer.constant(of.mean / of.std))


def _averaged(writer: _Nodes, scores: str, interface: Interface, windowing: Windowing) -> str:
    """Return the means ``(B, 1, frames per hop, C)`` of the hop that the look-ahead completes."""
    hops, ahead = windowing.hops, windowing.look_ahead_hops
    classes, frames = interface.classes, windowing.frames_per_hop
    if interface.frames == 1:
        parts = writer.reshape(scores, -1, 1, 1, classes)
        order = [0] * (ahead + 1)
    else:
        scores = writer.slice(scores, 0, hops * frames)  # without the one more that centring gives
        parts = writer.reshape(scores, -1, hops, frames, classes)
        order = [hops - 1 - at for at in range(ahead + 1)]
    parts = writer.node("Gather", parts, writer.constant(order, np.int64), axis=1)
    if not ahead:
        return parts
    newest = writer.slice(parts, 0, 1)
    others = writer.node("Add", writer.slice(parts, 1, _LAST), "sums")
    sums = writer.node("Concat", newest, others, axis=1)
    writer.slice(sums, 0, ahead, output="next_sums")
    return writer.node("Mul", writer.slice(sums, ahead, _LAST), writer.constant(1.0 / (ahead + 1)))
