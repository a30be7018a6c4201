"""How far a step is from its arithmetic: multiply-adds, the core's own rate, and the ratio.

The floor is what the step's multiply-adds would take at the rate of a large matrix product in the
same runtime, in the same minute, on one thread. Takes about half a minute a bundle.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from streamsed.bundle import load
from train.graph_cost import graph_cost

SIDE = 512


def fastest_s(run: Callable[[], object], *, repeats: int) -> float:
    """Return the seconds of the fastest of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def session(graph: bytes) -> onnxruntime.InferenceSession:
    """Return a session on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def product_rate(*, repeats: int) -> float:
    """Return the multiply-adds a second of a product of two square matrices."""
    shape = (SIDE, SIDE)
    values = np.random.default_rng(0).random(shape, np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    product = session(onnx.ModelProto.SerializeToString(model))
    return SIDE**3 / fastest_s(lambda: product.run(None, {"a": values}), repeats=repeats)


def main() -> None:
    """Measure the bundles named on the command line, or all in ``models``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, default=sorted(Path("models").iterdir()))
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    table = Table("bundle", "member", "million multiply-adds", "nodes", title="Floor of a step")
    for batch in options.batch:
        table.add_column(f"ms a stream at {batch}")
        table.add_column("of the floor")
    rng = np.random.default_rng(0)
    for folder in options.bundles:
        bundle = load(folder)
        for member in bundle.manifest.members:
            cost = graph_cost(folder / member.graph)
            step = session(bundle.graphs[member.name])
            row = [f"{cost.total / 1e6:.1f}", str(cost.operators.total())]
            for batch in options.batch:
                feed = {
                    value.name: rng.normal(0, 0.1, (batch, *value.shape[1:])).astype(np.float32)
                    for value in step.get_inputs()
                }
                took_s = fastest_s(lambda: step.run(None, feed), repeats=options.repeats) / batch  # noqa: B023
                floor_s = cost.total / product_rate(repeats=20)
                row += [f"{1000 * took_s:.3f}", f"{took_s / floor_s:.1f} x"]
            table.add_row(bundle.manifest.name, member.name, *row)
            operators = ", ".join(f"{n} {kind}" for kind, n in cost.operators.most_common())
            Console().print(f"{bundle.manifest.name} {member.name}: {operators}")
    rate = product_rate(repeats=20)
    table.caption = f"one product of {SIDE} by {SIDE}: {rate / 1e9:.0f} G multiply-adds a second"
    Console().print(table)


if __name__ == "__main__":
    main()
