"""Export: a trained model of any kind becomes one ONNX step function, checked against PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from streamsed.bundle.manifest import SELFTEST_TOLERANCE, Member, StateTensor
from streamsed.errors import StreamsedError
from train.models.model import SoundEventModel
from train.runtime_graph import for_runtime

OPSET = 20


class ExportError(StreamsedError):
    """The exported graph does not compute what the model computes."""


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence the exporter's remarks on packages that a step does not need."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Deprecations inside torch's own exporter, none of which this code can answer.
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            exporter.setLevel(level)


def export_step(
    model: SoundEventModel,
    path: Path,
    *,
    name: str,
    latency_frames: int | None = None,
    tags: bool = False,
) -> Member:
    """Write ``model`` as a step function to ``path``.

    Only the batch axis is free; the front end is inside and every state is an input and an
    output.

    Args:
        model: in evaluation mode.
        path: the ``.onnx`` file to write.
        name: the member's name in the manifest.
        latency_frames: look-ahead, which is free for a windowed model; None for the model's own.
        tags: whether the graph also yields the clip-level output.

    Returns:
        The manifest's entry, of weight 1.

    Raises:
        ConfigError: the model cannot be run with this look-ahead, or has no clip-level head.
    """
    step = model.step(latency_frames=latency_frames, tags=tags).eval()
    states = list(step.state_shapes())
    batch = torch.export.Dim("batch", min=1, max=65536)
    # Traced at batch 2: the exporter takes an axis of length 1 for a constant.
    example = (torch.zeros(2, model.config.chunk_samples), *step.initial_state(2))
    outputs = ["scores", *(["tags"] if tags else []), *(f"next_{state}" for state in states)]
    with quiet_exporter():
        program = torch.onnx.export(
            step,
            example,
            input_names=["chunk", *states],
            output_names=outputs,
            dynamic_shapes=({0: batch}, tuple({0: batch} for _ in states)),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = for_runtime(program.model_proto)
    for entry in (*graph.graph.node, *graph.graph.value_info):
        entry.ClearField("doc_string")
        entry.ClearField("metadata_props")  # the exporter's stack traces name local files
    graph.ClearField("metadata_props")
    onnx.checker.check_model(graph)
    onnx.save(graph, path)
    return Member(
        name=name,
        graph=path.name,
        latency_frames=step.latency_frames,
        tags=tags,
        states=tuple(
            StateTensor(name=state, shape=shape) for state, shape in step.state_shapes().items()
        ),
    )


def run_graph(path: Path, member: Member, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a step function over consecutive chunks of one stream, from the initial state.

    Args:
        path: the graph.
        member: its manifest entry.
        chunks: ``(K, chunk_samples)``.

    Returns:
        ``(K, frames_per_chunk, C)`` as the steps gave them, look-ahead included.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    state = {s.name: np.full((1, *s.shape), s.initial, np.float32) for s in member.states}
    outputs = ["scores", *(f"next_{state}" for state in state)]
    scores = []
    for chunk in chunks:
        result = session.run(outputs, {"chunk": chunk[None], **state})
        scores.append(result[0][0])
        state = {s.name: value for s, value in zip(member.states, result[1:], strict=True)}
    return np.stack(scores)


def check_parity(
    model: SoundEventModel, path: Path, member: Member, audio: NDArray[np.float32]
) -> float:
    """Return the largest difference between the graph's scores and the model's own.

    The model scores the whole recording at once, the graph step by step.

    Args:
        model: in evaluation mode.
        path: the graph.
        member: its manifest entry.
        audio: ``(N,)``; the part beyond the last whole chunk is not compared.

    Raises:
        ExportError: they differ by more than the bundle's tolerance.
    """
    chunk_samples, ahead = model.config.chunk_samples, member.latency_frames
    steps = len(audio) // chunk_samples
    audio = np.ascontiguousarray(audio[: steps * chunk_samples], dtype=np.float32)
    streamed = run_graph(path, member, audio.reshape(steps, -1))
    streamed = streamed.reshape(-1, streamed.shape[-1])[ahead:]
    with torch.no_grad():
        offline = model.scores(torch.from_numpy(audio)[None], latency_frames=ahead)[0].numpy()
    difference = float(np.abs(offline[: len(streamed)] - streamed).max(initial=0.0))
    if not difference <= SELFTEST_TOLERANCE:
        raise ExportError(
            f"{path.name} differs from its PyTorch model by {difference:.2e}; "
            f"at most {SELFTEST_TOLERANCE:.0e} is allowed"
        )
    return difference
