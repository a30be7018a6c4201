"""A small real bundle for tests: a tone detector written node by node with ``onnx.helper``.

Each class responds to one frequency, so a test can write audio whose events are known::

    bundle = streamsed.bundle.load(make_tone_bundle(tmp_path))
    audio = tones([("low", 0.5, 1.0), ("high", 0.8, 1.5)], duration_s=2.0)

The graph has what a trained one has: a halo of past samples and a recurrence over frames, both as
explicit state, and, if wanted, look-ahead and tags.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamsed.bundle import write_manifest, write_selftest

FREQUENCIES_HZ = {"low": 300.0, "mid": 1000.0, "high": 4000.0}
SAMPLE_RATE = 16000
_REFERENCE_POWER = 0.05**2  # a tone of this power scores one half
_LEAK = 0.25  # share of the previous frame's score in the next


@dataclass(frozen=True, kw_only=True)
class ToneMember:
    """What one member of a tone bundle is like.

    Attributes:
        name: the member's name and its graph's file name without ``.onnx``.
        latency_frames: how many frames its scores lag.
        weight: its weight in the fusion.
        tags: whether it yields tags: the largest score of the step, per class.
        sharpness: exponent; members with different values give different scores.
        logarithm: compute the scores by way of Log and Softplus. onnxruntime computes their
            elements differently at the end of a tensor, so rows depend on the batch in their
            last bit.
    """

    name: str = "tones"
    latency_frames: int = 0
    weight: float = 1.0
    tags: bool = False
    sharpness: float = 2.0
    logarithm: bool = False


def make_tone_bundle(
    folder: Path,
    *,
    classes: Sequence[str] = ("low", "mid", "high"),
    latency_frames: int = 0,
    tags: bool = False,
    members: Sequence[ToneMember] | None = None,
    chunk_samples: int = 1024,
    frame_samples: int = 256,
    warmup_frames: int = 0,
    postprocessing: Mapping[str, Mapping[str, Any]] | None = None,
    name: str = "tones",
) -> Path:
    """Write a tone bundle into ``folder``, which is made if need be, and return it.

    Args:
        folder: where the bundle goes.
        classes: labels out of ``FREQUENCIES_HZ``, or any; those get a frequency of their own.
        latency_frames: of the only member, unless ``members`` is given.
        tags: of the only member, unless ``members`` is given.
        members: the members, if there is more than one or it is special.
        chunk_samples: samples of a step.
        frame_samples: samples of a score frame.
        warmup_frames: as in the manifest.
        postprocessing: entries that replace the default ones (no smoothing, no durations).
        name: the bundle's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    members = members or (ToneMember(latency_frames=latency_frames, tags=tags),)
    frames = chunk_samples // frame_samples
    chunks = _selftest_audio(classes, chunk_samples)
    entries, scores = [], {}
    for member in members:
        states = _state_shapes(member, classes=len(classes), frame_samples=frame_samples)
        graph = _graph(member, classes=classes, frames=frames, frame_samples=frame_samples)
        onnx.save(graph, folder / f"{member.name}.onnx")
        entries.append(
            {
                "name": member.name,
                "graph": f"{member.name}.onnx",
                "weight": member.weight,
                "latency_frames": member.latency_frames,
                "tags": member.tags,
                "states": [{"name": n, "shape": list(s)} for n, s in states.items()],
            }
        )
        scores[member.name] = run_graph(graph.SerializeToString(), states, chunks)[0]
    write_selftest(folder, chunks=chunks, scores=scores)
    (folder / "card.md").write_text("# A tone detector for tests\n", encoding="utf-8")
    write_manifest(
        folder,
        {
            "schema": "streamsed.bundle/1",
            "name": name,
            "version": "1",
            "classes": list(classes),
            "sample_rate": SAMPLE_RATE,
            "chunk_samples": chunk_samples,
            "frame_samples": frame_samples,
            "warmup_frames": warmup_frames,
            "members": entries,
            "postprocessing": {label: {} for label in classes} | dict(postprocessing or {}),
            "provenance": {
                "recipe": "streamsed/testing/tone_bundle.py",
                "data": "none",
                "licences": [],
            },
        },
    )
    return folder


def frequency_hz(label: str, classes: Sequence[str]) -> float:
    """Return the frequency that a class responds to."""
    spare = 600.0 * (classes.index(label) + 2)
    return FREQUENCIES_HZ.get(label, spare)


def tones(
    events: Iterable[tuple[str, float, float]],
    *,
    duration_s: float,
    classes: Sequence[str] = ("low", "mid", "high"),
    amplitude: float = 0.3,
    noise: float = 1e-3,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return mono float32 audio with a tone for each event ``(label, onset_s, offset_s)``."""
    count = round(duration_s * SAMPLE_RATE)
    audio = noise * np.random.default_rng(seed).standard_normal(count)
    seconds = np.arange(count) / SAMPLE_RATE
    for label, onset_s, offset_s in events:
        sounding = (seconds >= onset_s) & (seconds < offset_s)
        phase = 2 * math.pi * frequency_hz(label, classes) * seconds
        audio += amplitude * np.sin(phase) * sounding
    return audio.astype(np.float32)


def run_graph(
    graph: bytes, states: Mapping[str, tuple[int, ...]], chunks: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Run one stream through a graph, step by step at batch 1, from zero states.

    Returns:
        The outputs before the states (scores and perhaps tags), each stacked over the steps.
    """
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    state = {name: np.zeros((1, *shape), np.float32) for name, shape in states.items()}
    steps = []
    for chunk in chunks:
        outputs = session.run(None, {"chunk": chunk[None], **state})
        state = dict(zip(states, outputs[len(outputs) - len(states) :], strict=True))
        steps.append([output[0] for output in outputs[: len(outputs) - len(states)]])
    return [np.stack(column) for column in zip(*steps, strict=True)]


def _state_shapes(
    member: ToneMember, *, classes: int, frame_samples: int
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"halo": (frame_samples,), "smooth": (1, classes)}
    if member.latency_frames:
        shapes["delay"] = (member.latency_frames, classes)
    return shapes


def _selftest_audio(classes: Sequence[str], chunk_samples: int) -> NDArray[np.float32]:
    steps = 8
    duration_s = steps * chunk_samples / SAMPLE_RATE
    events = [(label, 0.2 * duration_s, 0.7 * duration_s) for label in classes]
    audio = tones(events, duration_s=duration_s, classes=classes, amplitude=0.06, noise=0.01)
    return audio[: steps * chunk_samples].reshape(steps, chunk_samples)


def _filterbank(classes: Sequence[str], frame_samples: int) -> NDArray[np.float32]:
    """Return ``(2 * frame_samples, 2 * C)``: windowed cosines, then sines; unit gain."""
    length = 2 * frame_samples
    window = np.hanning(length) * 4 / length
    seconds = np.arange(length) / SAMPLE_RATE
    phases = 2 * math.pi * seconds[:, None] * [[frequency_hz(c, classes) for c in classes]]
    bank = window[:, None] * np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    rounded: NDArray[np.float32] = bank.astype(np.float32)
    return rounded


class _GraphWriter:
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

    def slice(self, tensor: str, first: int, last: int, output: str = "") -> str:
        """Slice along axis 1."""
        bounds = (self.constant([bound], np.int64) for bound in (first, last, 1))
        return self.node("Slice", tensor, *bounds, output=output)


def _graph(
    member: ToneMember, *, classes: Sequence[str], frames: int, frame_samples: int
) -> onnx.ModelProto:
    count, end = len(classes), 2**31 - 1
    writer = _GraphWriter()
    node, constant = writer.node, writer.constant
    # Power at the class's frequency in a window over each frame and the one before it.
    samples = node("Concat", "halo", "chunk", axis=1)
    writer.slice(samples, -frame_samples, end, output="next_halo")
    shape = constant([0, frames + 1, frame_samples], np.int64)
    framed = node("Reshape", samples, shape)
    pairs = node("Concat", writer.slice(framed, 0, -1), writer.slice(framed, 1, end), axis=2)
    spectrum = node("MatMul", pairs, constant(_filterbank(classes, frame_samples)))
    squares = node("Reshape", node("Mul", spectrum, spectrum), constant([0, 0, 2, count], np.int64))
    power = node("ReduceSum", squares, constant([2], np.int64), keepdims=0)
    loudness = node("Div", power, constant(_REFERENCE_POWER))
    if member.logarithm:
        level = node("Log", node("Add", loudness, constant(1e-12)))
        # The logistic function as exp(-softplus(-x)).
        negative = node("Mul", level, constant(-member.sharpness))
        raw = node("Exp", node("Neg", node("Softplus", negative)))
    else:
        sharp = node("Pow", loudness, constant(member.sharpness))
        raw = node("Div", sharp, node("Add", sharp, constant(1.0)))
    # A leaky integrator over frames: the recurrent part.
    smooth, smoothed = "smooth", []
    for frame in range(frames):
        new = node("Mul", writer.slice(raw, frame, frame + 1), constant(1 - _LEAK))
        smooth = node("Add", new, node("Mul", smooth, constant(_LEAK)))
        smoothed.append(smooth)
    node("Identity", smooth, output="next_smooth")
    scores = node("Concat", *smoothed, axis=1)
    if member.latency_frames:
        scores = node("Concat", "delay", scores, axis=1)
        writer.slice(scores, frames, end, output="next_delay")
        scores = writer.slice(scores, 0, frames)
    node("Identity", scores, output="scores")
    if member.tags:
        node("ReduceMax", scores, constant([1], np.int64), output="tags", keepdims=0)
    return _model(writer, member, classes=count, frames=frames, frame_samples=frame_samples)


def _model(
    writer: _GraphWriter, member: ToneMember, *, classes: int, frames: int, frame_samples: int
) -> onnx.ModelProto:
    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *shape])

    states = _state_shapes(member, classes=classes, frame_samples=frame_samples)
    inputs = [tensor("chunk", frames * frame_samples)]
    inputs += [tensor(name, *shape) for name, shape in states.items()]
    outputs = [tensor("scores", frames, classes)]
    outputs += [tensor("tags", classes)] if member.tags else []
    outputs += [tensor(f"next_{name}", *shape) for name, shape in states.items()]
    graph = helper.make_graph(writer.nodes, member.name, inputs, outputs, writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model
