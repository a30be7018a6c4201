"""Models that are no bundles: taggers and detectors of every shape that people export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES = 3
WINDOW = 1600
FRAMES = 20
BANDS = 8


def bank(length: int, seed: int = 0) -> NDArray[np.float32]:
    """Return ``(length, CLASSES)`` weights."""
    weights = np.random.default_rng(seed).standard_normal((length, CLASSES))
    return (3.0 * weights / np.sqrt(length)).astype(np.float32)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    *,
    takes: list[int | str | None],
    gives: list[int | str | None],
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    extra_output: str | None = None,
) -> Path:
    outputs = [helper.make_tensor_value_info("logits", dtype, gives)]
    if extra_output is not None:
        outputs.insert(0, helper.make_tensor_value_info(extra_output, dtype, None))
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("audio", dtype, takes)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def tagger(
    path: Path,
    *,
    takes: list[int | str | None],
    sigmoid: bool = False,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    embedding: bool = False,
) -> Path:
    """A linear tagger of a whole window, with whatever axes."""
    batched = len(takes) > 1
    batch = takes[0] if batched else None
    kind = np.float32 if dtype == TensorProto.FLOAT else np.float16
    rows = batch if isinstance(batch, int) else -1
    constants: dict[str, NDArray[Any]] = {
        "weights": bank(WINDOW).astype(kind),
        "flat": np.array([rows, WINDOW] if batched else [1, WINDOW], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["audio", "flat"], ["samples"]),
        helper.make_node("MatMul", ["samples", "weights"], ["raw"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["raw"], ["logits"]),
    ]
    gives: list[int | str | None] = [batch if batched else 1, CLASSES]
    extra = None
    if embedding:
        nodes.append(helper.make_node("Identity", ["samples"], ["embedding"]))
        extra = "embedding"
    return write(
        path,
        nodes,
        constants,
        takes=takes,
        gives=gives,
        dtype=dtype,
        opset=opset,
        extra_output=extra,
    )


def tagger_scores(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """What :func:`tagger` gives for ``(WINDOW,)``, with a sigmoid: ``(1, CLASSES)``."""
    return 1.0 / (1.0 + np.exp(-(window @ bank(WINDOW))[None]))


def detector(path: Path, *, classes_last: bool, batch: int | str) -> Path:
    """Linear scores of each of ``FRAMES`` frames, which depend on where in the window they are."""
    step = WINDOW // FRAMES
    rows = batch if isinstance(batch, int) else -1
    slopes = np.linspace(0.5, 1.5, FRAMES, dtype=np.float32)[:, None]
    nodes = [
        helper.make_node("Reshape", ["audio", "framed"], ["frames"]),
        helper.make_node("MatMul", ["frames", "weights"], ["raw"]),
        helper.make_node("Mul", ["raw", "slopes"], ["sloped"]),
    ]
    if classes_last:
        nodes.append(helper.make_node("Identity", ["sloped"], ["logits"]))
        gives: list[int | str | None] = [batch, FRAMES, CLASSES]
    else:
        nodes.append(helper.make_node("Transpose", ["sloped"], ["logits"], perm=[0, 2, 1]))
        gives = [batch, CLASSES, FRAMES]
    constants = {
        "framed": np.array([rows, FRAMES, step], np.int64),
        "weights": bank(step),
        "slopes": slopes,
    }
    return write(path, nodes, constants, takes=[batch, WINDOW], gives=gives)


def detector_scores(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """What :func:`detector` gives for ``(WINDOW,)``, with a sigmoid: ``(FRAMES, CLASSES)``."""
    step = WINDOW // FRAMES
    slopes = np.linspace(0.5, 1.5, FRAMES)[:, None]
    raw = (window.reshape(FRAMES, step) @ bank(step)) * slopes
    return 1.0 / (1.0 + np.exp(-raw))


def mel_tagger(path: Path, *, takes: list[int | str | None], frames_axis: int) -> Path:
    """The mean over frames, then linear: takes log-mels of any length."""
    ones = [at for at, size in enumerate(takes) if size == 1 and at > 0]
    nodes, given = [], "audio"
    if ones:
        nodes.append(helper.make_node("Squeeze", ["audio", "ones"], ["plain"]))
        given = "plain"
    axis = frames_axis - sum(at < frames_axis for at in ones)
    nodes += [
        helper.make_node("ReduceMean", [given], ["mean"], axes=[axis], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    constants = {"weights": bank(BANDS), "ones": np.array(ones or [1], np.int64)}
    return write(path, nodes, constants, takes=takes, gives=[takes[0], CLASSES])
