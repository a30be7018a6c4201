"""Bundles that are no bundles, and models that do not behave: one line, and nothing waits."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

import streamsed.bundle
from streamsed.bundle import loading, write_manifest
from streamsed.client import Subscriber
from streamsed.detect import selftest
from streamsed.detect.engine import Engine
from streamsed.errors import BundleError
from tests.bundles import make_bundle
from tests.cli.command import process
from tests.cli.test_journal import RUN
from tests.sockets import receive_until

OBSTACLES: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "link out of the folder": lambda path: path.symlink_to("/dev/zero"),
    "link to a file": lambda path: path.symlink_to(path.parent / "card.md"),
    "link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("name", ["manifest.yaml", "tones.onnx", "selftest.npz", "card.md"])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_regular_files_only(tmp_path: Path, name: str, obstacle: str) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    (bundle / name).unlink()
    OBSTACLES[obstacle](bundle / name)
    with pytest.raises(BundleError, match=name):
        streamsed.bundle.load(bundle)


def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    with (bundle / "manifest.yaml").open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match=r"manifest\.yaml: .*longer"):
        streamsed.bundle.load(bundle)
    other = make_bundle(tmp_path / "other")
    monkeypatch.setattr(loading, "_MOST_SELFTEST_BYTES", 1000)
    with pytest.raises(BundleError, match=r"selftest\.npz: its arrays take \d+ bytes"):
        streamsed.bundle.load(other)


def changed(bundle: Path, change: Callable[[onnx.GraphProto], None]) -> Path:
    """Change the graph of a bundle, and its manifest with it; the self-test stays."""
    model = onnx.load(bundle / "tones.onnx")
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "scores":
                node.output[index] = "given"
    change(model.graph)
    onnx.save(model, bundle / "tones.onnx")
    content = yaml.safe_load((bundle / "manifest.yaml").read_text())
    del content["files"]
    write_manifest(bundle, content)
    return bundle


def loop_while(condition: str) -> Callable[[onnx.GraphProto], None]:
    """Loop for ever while a condition holds: ``always``, or ``loud`` when the chunk is."""

    def change(graph: onnx.GraphProto) -> None:
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go_on"], ["goes_on"]),
                helper.make_node("Identity", ["before"], ["after"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("turn", TensorProto.INT64, []),
                helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
            ],
        )
        level = 0.9 if condition == "loud" else -1.0
        graph.initializer.append(helper.make_tensor("limit", TensorProto.FLOAT, [], [level]))
        graph.node.extend(
            [
                helper.make_node("ReduceMax", ["chunk"], ["peak"], keepdims=0),
                helper.make_node("Greater", ["peak", "limit"], ["hangs"]),
                helper.make_node("Loop", ["", "hangs", "given"], ["scores"], body=body),
            ]
        )

    return change


def scale(graph: onnx.GraphProto) -> None:
    """Give scores from -1 to 3."""
    graph.initializer.append(helper.make_tensor("four", TensorProto.FLOAT, [], [4.0]))
    graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]))
    graph.node.extend(
        [
            helper.make_node("Mul", ["given", "four"], ["larger"]),
            helper.make_node("Sub", ["larger", "one"], ["scores"]),
        ]
    )


def test_a_graph_that_never_ends_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = changed(make_bundle(tmp_path / "bundle"), loop_while("always"))
    monkeypatch.setattr(selftest, "_LONGEST_RUN_S", 0.5)
    with pytest.raises(BundleError, match=r"tones\.onnx: .* 0\.5 s"):
        Engine(streamsed.bundle.load(bundle), provider="cpu")


def test_a_daemon_that_loads_it_can_be_stopped(tmp_path: Path) -> None:
    bundle = changed(make_bundle(tmp_path / "bundle"), loop_while("always"))
    with process(*RUN, "--bundle", bundle) as daemon:
        busy_s(daemon.popen.pid, 3.0)
        daemon.signal(signal.SIGTERM)
        began = time.monotonic()
        assert daemon.wait() == -signal.SIGTERM
        assert time.monotonic() - began < 10.0


def processor_s(pid: int) -> float:
    """How long a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s(pid: int, seconds: float) -> None:
    """Wait until a process has computed for so long."""
    deadline = time.monotonic() + 180.0
    while time.monotonic() < deadline:
        if processor_s(pid) > seconds:
            return
        time.sleep(0.05)
    raise AssertionError("it does nothing")


def test_a_step_that_hangs_leaves_the_stop_its_time(tmp_path: Path) -> None:
    bundle = changed(make_bundle(tmp_path / "bundle"), loop_while("loud"))
    with process(*RUN, "--bundle", bundle) as daemon:
        address = daemon.log.event("listening")["on"][0]
        with Subscriber(address, topics=["event/", "status/"]) as subscriber:
            pipe = daemon.stdin.fileno()
            tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
            os.write(pipe, (tone * 32767).astype("<i2").tobytes())
            messages = receive_until(subscriber, lambda m: getattr(m, "kind", None) == "onset")
            os.write(pipe, np.full(16_000, 32767, "<i2").tobytes())
            busy_s(daemon.popen.pid, 4.0)
            daemon.signal(signal.SIGTERM)
            began = time.monotonic()
            messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
        assert daemon.wait() == 1
        assert time.monotonic() - began < 20.0, "what systemd gives"
        logged = [json.loads(line) for line in daemon.log.rest()]
    assert any("hangs" in str(line.get("reason")) for line in logged)
    kinds = [(m.kind, m.reason) for m in messages if hasattr(m, "kind")]
    assert kinds == [("onset", None), ("offset", "interrupted")]


def test_scores_out_of_range_are_clipped_and_counted(tmp_path: Path) -> None:
    bundle = changed(make_bundle(tmp_path / "bundle"), scale)
    content = dict(np.load(bundle / "selftest.npz"))
    content["scores_tones"] = 4 * content["scores_tones"] - 1
    np.savez(bundle / "selftest.npz", **content)
    manifest = yaml.safe_load((bundle / "manifest.yaml").read_text())
    del manifest["files"]
    write_manifest(bundle, manifest)
    with process(*RUN, "--bundle", bundle) as daemon:
        address = daemon.log.event("listening")["on"][0]
        with Subscriber(address, topics=["event/", "status/"]) as subscriber:
            tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(32_000) / 16_000)
            daemon.stdin.buffer.write((tone * 32767).astype("<i2").tobytes() + bytes(32_000))
            daemon.stdin.close()
            messages = receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
        assert daemon.wait() == 0
        logged = [json.loads(line)["event"] for line in daemon.log.rest()]
    assert "bad_scores_begun" in logged
    offsets = [m for m in messages if getattr(m, "kind", None) == "offset"]
    assert offsets
    assert max(m.score.peak for m in offsets) == 1.0


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    with zipfile.ZipFile(bundle / "selftest.npz", "w") as archive:
        archive.writestr("chunks.npy", b"no array")
    manifest = yaml.safe_load((bundle / "manifest.yaml").read_text())
    del manifest["files"]
    write_manifest(bundle, manifest)
    with pytest.raises(BundleError, match=r"selftest\.npz: array .chunks. is none"):
        streamsed.bundle.load(bundle)
