"""From a model and its labels to a bundle that has been loaded and run."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import ValidationError

from streamsed.bundle.bundle import Bundle
from streamsed.bundle.loading import load
from streamsed.bundle.making.graph import Activation, Windowing, full_state_shapes, step_graph
from streamsed.bundle.making.log_mel import LogMel
from streamsed.bundle.making.model import Interface, Model
from streamsed.bundle.writing import write_manifest, write_selftest
from streamsed.errors import ConfigError

Array = NDArray[np.float32]

_RATES = range(1_000, 768_001)
_GRAPH = "model.onnx"
_MEMBER = "model"
_CONTEXT_STEPS = 24  # of the self-test; more would only make it larger
_EDGE = 1e-3  # how far beyond [0, 1] rounding may take a probability


@dataclass(frozen=True, kw_only=True)
class BundleRequest:
    """What is wrapped, and how.

    Attributes:
        model: ONNX file.
        labels: of its outputs, in order.
        output: folder of the bundle; must not be there.
        name: of the bundle; None for that of the folder.
        version: of the bundle.
        rate: Hz of the samples that the model, or its front end, takes.
        window_s: length of what the model takes; None for what its shape fixes.
        hop_s: between windows; None for half a window.
        look_ahead_s: how much later than a frame the last window may end that counts for it; None
            for all windows with the frame in them.
        activation: what makes probabilities of the model's output.
        log_mel: the front end, for a model that takes log-mels; None for one that takes samples.
        input: name of the tensor that takes them; None for the only one.
        scores: name of the tensor of scores; None for the one that fits the labels.
        postprocessing: for every class.
        licence: of the model.
        data: what it was trained on.
    """

    model: Path
    labels: tuple[str, ...]
    output: Path
    name: str | None = None
    version: str = "1"
    rate: int = 16_000
    window_s: float | None = None
    hop_s: float | None = None
    look_ahead_s: float | None = None
    activation: Activation = "none"
    log_mel: LogMel | None = None
    input: str | None = None
    scores: str | None = None
    postprocessing: dict[str, float] = field(default_factory=dict)
    licence: str = "unknown"
    data: str = "unknown"


@dataclass(frozen=True, slots=True)
class MadeBundle:
    """A bundle that was made.

    Attributes:
        bundle: as it was loaded again.
        windowing: how windows lie over the stream.
        interface: how the model is called.
        step_s: processor time of one step on one thread.
    """

    bundle: Bundle
    windowing: Windowing
    interface: Interface
    step_s: float


def make_bundle(request: BundleRequest) -> MadeBundle:
    """Wrap a model into a bundle, load that and run its self-test.

    Raises:
        ConfigError: something of the request does not fit the model; with what would.
    """
    if request.output.exists():
        raise ConfigError(f"{request.output}: is there already; another folder would be right")
    if request.rate not in _RATES:
        raise ConfigError(f"--rate {request.rate}: {_RATES[0]} to {_RATES[-1]} would be right")
    model = Model(request.model)
    node = model.input(request.input)
    samples = _window_samples(request, model.window_samples(node))
    interface = model.interface(
        node, _content(request, samples), labels=len(request.labels), output=request.scores
    )
    windowing = _windowing(request, samples, interface.frames)
    graph = step_graph(model, interface, windowing, log_mel=request.log_mel, activation="none")
    _check_range(request, graph, windowing)
    graph = step_graph(
        model, interface, windowing, log_mel=request.log_mel, activation=request.activation
    )
    request.output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=request.output.parent, prefix=".streamsed-"))
    try:
        step_s = _write(folder, request, windowing, interface, graph)
        bundle = load(folder)
        folder.chmod(0o755)
        folder.rename(request.output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return MadeBundle(
        Bundle(request.output, bundle.manifest, bundle.graphs, bundle.selftest),
        windowing,
        interface,
        step_s,
    )


def _window_samples(request: BundleRequest, fixed: int | None) -> int:
    """Return the window's length; ``fixed`` is that of the model's own shape."""
    if request.log_mel is not None:
        if request.window_s is None:
            raise ConfigError("--window is missing: the seconds of audio that one input is made of")
        return round(request.window_s * request.rate)
    if request.window_s is None:
        if fixed is None:
            raise ConfigError(
                f"{request.model}: takes a window of any length; --window SECONDS is missing"
            )
        return fixed
    samples = round(request.window_s * request.rate)
    if fixed is not None and samples != fixed:
        raise ConfigError(
            f"--window {request.window_s:g}: is {samples} samples at {request.rate} Hz, and the "
            f"model takes {fixed}: --window {fixed / request.rate:g} would be right"
        )
    return samples


def _content(request: BundleRequest, samples: int) -> Array:
    """Return one input of noise."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    if request.log_mel is None:
        return noise
    frames = request.log_mel.frames(samples)
    if frames < 1:
        raise ConfigError(
            f"--window {request.window_s:g}: is shorter than n_fft, {request.log_mel.n_fft} samples"
        )
    return (
        np.random.default_rng(0)
        .standard_normal((request.log_mel.n_mels, frames))
        .astype(np.float32)
    )


def _windowing(request: BundleRequest, samples: int, frames: int) -> Windowing:
    hop = round((request.hop_s or samples / request.rate / 2) * request.rate)
    if request.hop_s is None and samples % 2:
        hop = samples
    if not 0 < hop <= samples or samples % hop:
        near = _near([n for n in range(1, samples + 1) if samples % n == 0], hop, request.rate)
        raise ConfigError(
            f"--hop {request.hop_s:g}: is {hop} samples, and the window of {samples} is no "
            f"multiple of that; {near} would be right"
        )
    hops = samples // hop
    per_hop = 1
    if frames > 1:
        # One frame more than the window has: centred transforms give it.
        even = next((n for n in (frames, frames - 1) if n % hops == 0), 0)
        per_hop = even // hops if even else 0
        if not per_hop or hop % per_hop:
            good = [
                samples // k
                for k in range(1, samples + 1)
                if samples % k == 0
                for n in (frames, frames - 1)
                if n >= k and n % k == 0 and (samples // k) % (n // k) == 0
            ]
            near = _near(sorted(set(good)), hop, request.rate) if good else "another window"
            raise ConfigError(
                f"--hop {hop / request.rate:g}: the model gives {frames} frames a window, which "
                f"are not the same number of whole samples in each of its {hops} hops; {near} "
                "would be right"
            )
    ahead = hops - 1
    if request.look_ahead_s is not None:
        ahead = round(request.look_ahead_s * request.rate / hop)
        if not 0 <= ahead < hops:
            most = (hops - 1) * hop / request.rate
            raise ConfigError(
                f"--look-ahead {request.look_ahead_s:g}: from 0 to {most:g} would be right, the "
                "window without one hop"
            )
    return Windowing(request.rate, samples, hop, ahead, per_hop)


def _near(sizes: list[int], hop: int, rate: int) -> str:
    best = sorted(sizes, key=lambda size: abs(size - hop))[:2]
    return " or ".join(f"--hop {size / rate:.6g}" for size in sorted(best))


def _check_range(request: BundleRequest, graph: onnx.ModelProto, windowing: Windowing) -> None:
    """Refuse logits that no activation makes probabilities, and probabilities that one would."""
    lowest, highest = _output_range(graph, request, windowing)
    within = lowest >= -_EDGE and highest <= 1 + _EDGE
    seen = f"the model's scores of noise, tones and silence go from {lowest:.3g} to {highest:.3g}"
    if not np.isfinite([lowest, highest]).all():
        raise ConfigError(f"{request.model}: {seen}; numbers would be right")
    if request.activation == "none" and not within:
        raise ConfigError(
            f"{request.model}: {seen}; these are logits, so --activation sigmoid (or softmax, "
            "where exactly one class is true at a time) would be right"
        )
    if request.activation != "none" and within:
        raise ConfigError(
            f"{request.model}: {seen}; these are probabilities already, so --activation none "
            "would be right"
        )


def _output_range(
    graph: onnx.ModelProto, request: BundleRequest, windowing: Windowing
) -> tuple[float, float]:
    """Return the least and the largest output, without the clipping to [0, 1] at its end."""
    bare = onnx.ModelProto()
    bare.CopyFrom(graph)
    (clip,) = (
        node
        for node in bare.graph.node
        if node.op_type == "Clip" and node.output[0] == bare.graph.node[-1].input[0]
    )
    clip.op_type = "Identity"
    del clip.input[1:]
    _, scores = _run(bare, windowing, len(request.labels), _test_audio(windowing))
    return float(scores.min()), float(scores.max())


def _test_audio(windowing: Windowing) -> Array:
    """Return ``(K, hop)``: noise, rising tones and silence."""
    steps = min(3 * windowing.hops, _CONTEXT_STEPS)
    seconds = np.arange(steps * windowing.hop_samples) / windowing.rate
    third = len(seconds) // 3 + 1
    audio = 0.1 * np.random.default_rng(1).standard_normal(len(seconds))
    tone = 0.3 * np.sin(2 * np.pi * (200.0 + 300.0 * seconds) * seconds)
    audio[third : 2 * third] = tone[third : 2 * third]
    audio[2 * third :] = 0.0
    return audio.astype(np.float32).reshape(steps, windowing.hop_samples)


def _run(
    graph: onnx.ModelProto, windowing: Windowing, classes: int, chunks: Array
) -> tuple[float, Array]:
    """Run the steps of one stream; returns the median processor time, and the scores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    shapes = full_state_shapes(windowing, classes)
    state = {name: np.zeros((1, *shape), np.float32) for name, shape in shapes.items()}
    outputs = ["scores", *(f"next_{name}" for name in shapes)]
    scores, times_s = [], []
    for chunk in chunks:
        began = process_time()
        result = session.run(outputs, {"chunk": chunk[None], **state})
        times_s.append(process_time() - began)
        scores.append(result[0][0])
        state = dict(zip(shapes, result[1:], strict=True))
    return float(np.median(times_s)), np.stack(scores)


def _write(
    folder: Path,
    request: BundleRequest,
    windowing: Windowing,
    interface: Interface,
    graph: onnx.ModelProto,
) -> float:
    classes = len(request.labels)
    chunks = _test_audio(windowing)
    step_s, scores = _run(graph, windowing, classes, chunks)
    (folder / _GRAPH).write_bytes(graph.SerializeToString())
    write_selftest(folder, chunks=chunks, scores={_MEMBER: scores})
    name = request.name or request.output.name
    (folder / "card.md").write_text(_card(name, request, windowing, interface), encoding="utf-8")
    states = full_state_shapes(windowing, classes)
    manifest: dict[str, Any] = {
        "schema": "streamsed.bundle/1",
        "name": name,
        "version": request.version,
        "classes": list(request.labels),
        "sample_rate": request.rate,
        "chunk_samples": windowing.hop_samples,
        "frame_samples": windowing.hop_samples // windowing.frames_per_hop,
        "members": [
            {
                "name": _MEMBER,
                "graph": _GRAPH,
                "latency_frames": windowing.look_ahead_hops * windowing.frames_per_hop,
                "states": [{"name": n, "shape": list(s)} for n, s in states.items()],
            }
        ],
        "postprocessing": {label: dict(request.postprocessing) for label in request.labels},
        "provenance": {
            "recipe": f"streamsed bundle make {request.model.name}",
            "data": request.data,
            "licences": [request.licence],
        },
    }
    try:
        write_manifest(folder, manifest)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"the manifest's {key}: {first['msg']}") from error
    return step_s


def _card(name: str, request: BundleRequest, windowing: Windowing, interface: Interface) -> str:
    digest = hashlib.sha256(request.model.read_bytes()).hexdigest()
    rate, ahead = windowing.rate, windowing.look_ahead_hops
    mel = (
        "samples"
        if request.log_mel is None
        else (f"log-mels: {request.log_mel.model_dump_json(exclude_defaults=True)}")
    )
    rules = ", ".join(f"{key} {value:g}" for key, value in request.postprocessing.items())
    return f"""# {name}

Made by `streamsed bundle make` of `{request.model.name}` (sha256 {digest}).

| | |
| --- | --- |
| classes | {len(request.labels)} |
| takes | {mel}, input `{interface.input}` ({", ".join(interface.layout)}) |
| gives | output `{interface.output}`, activation {request.activation} |
| sample rate | {rate} Hz |
| window | {windowing.window_samples / rate:g} s |
| hop, one step | {windowing.hop_samples / rate:g} s |
| frames | {windowing.hop_samples / windowing.frames_per_hop / rate:g} s |
| look-ahead | {ahead * windowing.hop_samples / rate:g} s: the mean of {ahead + 1} windows |
| postprocessing of every class | {rules or "thresholds of 0.5, no smoothing"} |
| licence of the model | {request.licence} |
| trained on | {request.data} |

## What it reaches

Not measured. `streamsed replay RECORDINGS -o out --bundle {name} --ground-truth TRUTH.tsv` does,
and `streamsed-train calibrate` fits thresholds, windows and durations by class.
"""
