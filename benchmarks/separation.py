"""What separation costs a stream: the ensemble of a detector and a joint model, on one core.

In its streaming form each second of audio is separated once. It is held against the same networks
run anew over the last ten seconds at each step, and against the paper's form, which cannot do
otherwise: its layers are normalised over the whole input, and use both directions. That once in the
sizes of the streaming form and once in the published ones. Weights are random: cost does not depend
on them. Times are processor time of one thread in ONNX Runtime, front ends included.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from train.export import OPSET, check_parity, export_step, quiet_exporter
from train.models.jss import JSSConfig
from train.models.model import SoundEventModel, Step
from train.models.presets import preset
from train.models.registry import build

CLASSES = tuple("abcdefghij")
WINDOW_S = 10.0


class Recomputed(torch.nn.Module):
    """A model that gets its whole window at each step, and gives out the newest frames."""

    def __init__(self, model: SoundEventModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, window: Tensor) -> Tensor:
        """Score the last chunk of windows ``(B, N)``."""
        frames = self.model.config.chunk_samples // self.model.config.frame_samples
        return torch.sigmoid(self.model.detect(window).frames[:, -frames:])


def session(path: Path) -> onnxruntime.InferenceSession:
    """Return a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def streaming_rounds(paths: list[Path], *, streams: int, rounds: int) -> list[float]:
    """Return the processor seconds of each round: one step of every member for all streams."""
    sessions = [session(path) for path in paths]
    rng = np.random.default_rng(0)
    states = [
        {v.name: np.zeros((streams, *v.shape[1:]), np.float32) for v in s.get_inputs()}
        for s in sessions
    ]
    seconds = []
    for _ in range(rounds):
        shape = states[0]["chunk"].shape
        chunk = rng.normal(0, 0.1, shape).astype(np.float32)
        start = time.process_time()
        for graph, state in zip(sessions, states, strict=True):
            state["chunk"] = chunk
            after = graph.run(None, state)[1:]
            names = [name for name in state if name != "chunk"]
            state.update(zip(names, after, strict=True))
        seconds.append(time.process_time() - start)
    return seconds[1:]  # the first allocates


def recomputed_step(path: Path, *, samples: int, repeats: int) -> tuple[float, np.ndarray]:
    """Return the processor seconds of one step over a window, and its scores of a fixed window."""
    graph = session(path)
    window = np.random.default_rng(1).normal(0, 0.1, (1, samples)).astype(np.float32)
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        (scores,) = graph.run(None, {"window": window})
        seconds.append(time.process_time() - start)
    return min(seconds[1:]), scores


def export_recomputed(model: SoundEventModel, path: Path, *, samples: int) -> None:
    """Write the graph of :class:`Recomputed`, of one window."""
    with quiet_exporter():
        program = torch.onnx.export(
            Recomputed(model).eval(),
            (torch.zeros(1, samples),),
            input_names=["window"],
            output_names=["scores"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(path)


def recomputed_parity(model: SoundEventModel, scores: np.ndarray, *, samples: int) -> float:
    """Return the largest difference of a recomputed step's scores to the model's own."""
    window = np.random.default_rng(1).normal(0, 0.1, (1, samples)).astype(np.float32)
    with torch.no_grad():
        expected = Recomputed(model)(torch.from_numpy(window)).numpy()
    return float(np.abs(expected - scores).max())


def state_kib(step: Step) -> float:
    """Return the size of one stream's state."""
    return sum(4 * math.prod(shape) for shape in step.state_shapes().values()) / 1024


def paper_forms(names: list[str]) -> Iterator[tuple[str, SoundEventModel]]:
    """Yield the joint members in the paper's form, then the paper's own model."""
    for name in names:
        config = preset(name, CLASSES)
        if isinstance(config, JSSConfig):
            separator = replace(config.separator, norm="global")
            yield f"{name}, paper's form", build(replace(config, separator=separator)).eval()
    yield "joint-2022", build(preset("joint-2022", CLASSES)).eval()


def main() -> None:
    """Measure both forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", nargs="+", default=["causal-small", "joint-small"])
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 2, 4, 8, 12, 16, 24, 32])
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    console = Console()
    models = [build(preset(name, CLASSES)).eval() for name in options.members]
    config = models[0].config
    hop_s = config.chunk_samples / config.front_end.sample_rate
    samples = round(WINDOW_S / hop_s) * config.chunk_samples
    audio = np.random.default_rng(2).normal(0, 0.1, 40 * config.chunk_samples).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths, steps_s = [], []
        table = Table("member", "parameters", "state KiB", "stream differs", "window differs")
        for name, model in zip(options.members, models, strict=True):
            path, window = Path(folder) / f"{name}.onnx", Path(folder) / f"{name}-window.onnx"
            member = export_step(model, path, name=name)
            export_recomputed(model, window, samples=samples)
            step_s, scores = recomputed_step(window, samples=samples, repeats=3)
            steps_s.append(step_s)
            paths.append(path)
            table.add_row(
                name,
                f"{sum(p.numel() for p in model.parameters()):,}",
                f"{state_kib(model.step()):.0f}",
                f"{check_parity(model, path, member, audio):.1e}",
                f"{recomputed_parity(model, scores, samples=samples):.1e}",
            )
        console.print(table)
        papers_s = {}
        for name, model in paper_forms(options.members):
            window = Path(folder) / "paper.onnx"
            export_recomputed(model, window, samples=samples)
            papers_s[name], _ = recomputed_step(window, samples=samples, repeats=3)
        table = Table("streams", "ms a stream and step, p50", "ms a round, p99", "of the hop")
        best_s, sustained = math.inf, 0
        for streams in options.streams:
            seconds = streaming_rounds(paths, streams=streams, rounds=options.rounds)
            typical_s, worst_s = np.quantile(seconds, [0.5, 0.99])
            if streams == 1:
                best_s = typical_s
            sustained = streams if worst_s < hop_s else sustained
            table.add_row(
                str(streams),
                f"{1000 * typical_s / streams:.1f}",
                f"{1000 * worst_s:.1f}",
                f"{worst_s / hop_s:.0%}",
            )
        console.print(table)
    console.print(f"hop {hop_s:.3f} s; {sustained} streams or more on one core, p99 of a round")
    console.print(
        f"a window of {samples / config.front_end.sample_rate:.2f} s anew each hop: "
        f"{1000 * sum(steps_s):.0f} ms, {sum(steps_s) / best_s:.1f} times a streaming step"
    )
    for name, step_s in papers_s.items():
        console.print(f"{name}: {1000 * step_s:.0f} ms, {step_s / best_s:.1f} times")


if __name__ == "__main__":
    main()
