"""A foreign model: what it takes and what it gives, found out by running it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from streamsed.errors import ConfigError

Array = NDArray[np.float32]
Axis = Literal["batch", "one", "samples", "bands", "frames"]
Layout = tuple[Axis, ...]

OPSET = 13
"""The oldest that is wrapped as it is; older ones are converted to it."""
_FATAL = 4
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_SAMPLES: tuple[Layout, ...] = (
    ("batch", "samples"),
    ("samples",),
    ("batch", "one", "samples"),
    ("batch", "samples", "one"),
)
_BANDS: tuple[Layout, ...] = (
    ("batch", "one", "bands", "frames"),
    ("batch", "one", "frames", "bands"),
    ("batch", "bands", "frames"),
    ("batch", "frames", "bands"),
    ("bands", "frames"),
    ("frames", "bands"),
    ("batch", "bands", "frames", "one"),
    ("batch", "frames", "bands", "one"),
)


@dataclass(frozen=True, slots=True)
class Interface:
    """How a model is called.

    Attributes:
        input: name of the tensor that it takes.
        layout: what its axes are.
        dtype: of the input.
        output: name of the tensor of scores.
        single: whether only one window can be computed at a time.
        classes_last: whether the classes are the last axis of the output.
        frames: of scores that one window gives; 1 for one score a class.
        classes: of the scores.
    """

    input: str
    layout: Layout
    dtype: type
    output: str
    single: bool
    classes_last: bool
    frames: int
    classes: int


class Model:
    """An ONNX file.

    Raises:
        ConfigError: it cannot be read, or onnxruntime cannot load it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; an exported ONNX model would be right")
        try:
            self.proto = onnx.load(str(path))  # with the data beside it
        except Exception as error:  # protobuf's and onnx's exceptions share no base class
            raise ConfigError(f"{path}: is no ONNX model: {_first_line(error)}") from error
        opset = next((o.version for o in self.proto.opset_import if o.domain in ("", "ai.onnx")), 0)
        try:
            if opset < OPSET:
                self.proto = onnx.version_converter.convert_version(self.proto, OPSET)
            options = ort.SessionOptions()
            options.log_severity_level = _FATAL
            options.intra_op_num_threads = 1
            self._session = ort.InferenceSession(
                self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ConfigError(
                f"{path}: onnxruntime cannot load it (opset {opset}): {_first_line(error)}"
            ) from error

    def input(self, name: str | None) -> ort.NodeArg:
        """Return the input with a name, or the only one.

        Raises:
            ConfigError: there is none, there are several, or it takes no audio.
        """
        found = self._session.get_inputs()
        node = self._chosen(found, name, kind="input", option="--input")
        if node.type not in _TYPES:
            raise ConfigError(
                f"{self.path}: input {node.name!r} is {node.type}; floats would be right"
            )
        return node

    def window_samples(self, node: ort.NodeArg) -> int | None:
        """Return the window's length that the shape of an input of samples fixes, if it does."""
        shape = _shape(node)
        sizes = [size for size in (shape[1:] if len(shape) > 1 else shape) if size != 1]
        return sizes[0] if len(sizes) == 1 and isinstance(sizes[0], int) else None

    def interface(
        self, node: ort.NodeArg, content: Array, *, labels: int, output: str | None
    ) -> Interface:
        """Run the model on one window, in each layout that its input may have.

        Args:
            node: the input.
            content: ``(samples,)``, or ``(bands, frames)``.
            labels: how many there are.
            output: name of the scores; None for the output that fits.

        Raises:
            ConfigError: it cannot be run, or no output has an axis with as many classes.
        """
        problem = "its rank is that of no input of audio"
        for layout in self._layouts(node, content):
            dtype = _TYPES[node.type]
            try:
                results = self.run(node.name, arranged(content[None], layout).astype(dtype))
            except Exception as error:
                problem = _first_line(error)
                continue
            name, scores = self._scores(results, layout, labels=labels, output=output)
            shape = [size for size in _of_window(scores, layout) if size > 1] or [1]
            if labels == 1:
                classes_last, frames = True, int(np.prod(shape))
            else:
                classes_last, frames = shape[-1] == labels, int(np.prod(shape)) // labels
            return Interface(
                input=node.name,
                layout=layout,
                dtype=dtype,
                output=name,
                single=not self._batches(node.name, content, layout, dtype, name),
                classes_last=classes_last,
                frames=frames,
                classes=labels,
            )
        raise ConfigError(
            f"{self.path}: input {node.name!r} is {_shown(node)}, and cannot be run on "
            f"{_content(content)}: {problem}"
        )

    def run(self, name: str, value: NDArray[np.floating]) -> dict[str, Array]:
        """Return all outputs for a value of the input; those with initial values keep them."""
        names = [node.name for node in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {name: value}), strict=True))

    def _layouts(self, node: ort.NodeArg, content: Array) -> Iterator[Layout]:
        shape = _shape(node)
        sizes = {"one": 1, "samples": content.shape[-1], "frames": content.shape[-1]}
        sizes["bands"] = content.shape[0]
        for layout in _SAMPLES if content.ndim == 1 else _BANDS:
            if len(layout) != len(shape):
                continue
            fits = (
                not isinstance(size, int) or size == sizes.get(axis, 1)
                for axis, size in zip(layout, shape, strict=True)
            )
            if all(fits):
                yield layout

    def _scores(
        self, results: dict[str, Array], layout: Layout, *, labels: int, output: str | None
    ) -> tuple[str, Array]:
        if output is not None and output not in results:
            raise ConfigError(f"{self.path}: no output {output!r}; there are {', '.join(results)}")
        shapes = {}
        for name, value in results.items():
            shapes[name] = _of_window(value, layout)
            sizes = [size for size in shapes[name] if size > 1]
            if output not in (None, name):
                continue
            if len(sizes) <= 2 and (labels == 1 or labels in (sizes[-1:] + sizes[:1])):
                if labels > 1 and len(sizes) == 2 and labels not in sizes:
                    continue
                return name, np.asarray(value, np.float32)
        raise ConfigError(
            f"{self.path}: there are {labels} labels, and the outputs of one window are "
            f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}; (classes), "
            "(frames, classes) or (classes, frames) would be right"
        )

    def _batches(self, name: str, content: Array, layout: Layout, dtype: type, output: str) -> bool:
        """Return whether two windows at once give what they give one by one."""
        if layout[0] != "batch":
            return False
        other = content[..., ::-1]
        pair = np.stack([content, other])
        try:
            together = self.run(name, arranged(pair, layout).astype(dtype))[output]
            alone = [self.run(name, arranged(c[None], layout).astype(dtype))[output] for c in pair]
        except Exception:  # a fixed batch axis, somewhere in the graph
            return False
        return together.shape[0] == 2 and np.allclose(together, np.concatenate(alone), atol=1e-4)

    def _chosen(
        self, found: list[ort.NodeArg], name: str | None, *, kind: str, option: str
    ) -> ort.NodeArg:
        names = [node.name for node in found]
        if name is None and len(found) == 1:
            return found[0]
        if name is None:
            raise ConfigError(
                f"{self.path}: has the {kind}s {', '.join(names)}; a model with one, or {option} "
                "and initial values for the others, would be right"
            )
        if name not in names:
            raise ConfigError(f"{self.path}: no {kind} {name!r}; there are {', '.join(names)}")
        return found[names.index(name)]


def _of_window(scores: Array, layout: Layout) -> tuple[int, ...]:
    """Return the shape of the scores of one window, which some models give without a batch axis."""
    shape = np.shape(scores)
    return shape[1:] if layout[0] == "batch" and shape[:1] == (1,) and len(shape) > 1 else shape


def arranged(content: Array, layout: Layout) -> Array:
    """Return ``(B, samples)`` or ``(B, bands, frames)`` in a layout."""
    value = content
    if "frames" in layout and layout.index("frames") < layout.index("bands"):
        value = np.swapaxes(value, 1, 2)
    if layout[0] != "batch":
        value = value[0]
    for at, axis in enumerate(layout):
        if axis == "one":
            value = np.expand_dims(value, at)
    return np.ascontiguousarray(value)


def _shape(node: ort.NodeArg) -> list[int | str | None]:
    return list(node.shape)


def _shown(node: ort.NodeArg) -> str:
    return f"({', '.join(str(size) for size in node.shape)})"


def _content(content: Array) -> str:
    if content.ndim == 1:
        return f"a window of {len(content)} samples; --window, --rate or --mel may be wrong"
    return f"{content.shape[0]} bands and {content.shape[1]} frames; --mel may be wrong"


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "…"
