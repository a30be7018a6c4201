"""Bundles: what is written can be read, and what does not match is an error of one line."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from pydantic import ValidationError

from streamsed import bundle
from streamsed.bundle import write_manifest
from streamsed.errors import BundleError
from tests.bundles import ToneMember, make_bundle

Manifest = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tones", latency_frames=2, tags=True)


def _refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        bundle.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def _edit(folder: Path, change: Callable[[Manifest], object]) -> None:
    path = folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")


def _sign(folder: Path, name: str) -> None:
    """Make the manifest agree with a file's content, as a careless exporter would."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    _edit(folder, lambda manifest: manifest["files"].update({name: digest}))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    members = (ToneMember(name="a", weight=2.0), ToneMember(name="b", latency_frames=3, tags=True))
    folder = make_bundle(tmp_path / "new" / "tones", members=members, warmup_frames=2)
    loaded = bundle.load(folder)
    assert loaded.folder == folder
    assert loaded.manifest.classes == ("low", "mid", "high")
    assert [member.weight for member in loaded.manifest.members] == [2.0, 1.0]
    assert loaded.manifest.latency_frames == 3
    assert set(loaded.manifest.files) == {"a.onnx", "b.onnx", "card.md", "selftest.npz"}
    assert loaded.selftest.chunks.shape == (8, 1024)
    assert {name: s.shape for name, s in loaded.selftest.scores.items()} == {
        "a": (8, 4, 3),
        "b": (8, 4, 3),
    }
    assert loaded.graphs["b"] == (folder / "b.onnx").read_bytes()


@pytest.mark.parametrize("name", ["tones.onnx", "selftest.npz", "card.md"])
def test_a_flipped_bit_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert re.search(rf"{name}: is corrupt: sha256 \w+…", _refused(folder))


@pytest.mark.parametrize("name", ["tones.onnx", "selftest.npz", "card.md", "manifest.yaml"])
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: cannot be read: " in _refused(folder)


def test_a_manifest_of_other_bytes_is_refused(folder: Path) -> None:
    (folder / "manifest.yaml").write_bytes(b"classes: [\xff]")
    assert "manifest.yaml: is no UTF-8 text" in _refused(folder)


def test_a_missing_folder_is_found(tmp_path: Path) -> None:
    assert "no such bundle" in _refused(tmp_path / "nowhere")


def _set(*path: Any) -> Callable[[Manifest], None]:
    """Set the value at all but the last of ``path`` to the last."""

    def change(manifest: Manifest) -> None:
        *keys, last, value = path
        for key in keys:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("colour", "red"), "colour: unknown key"),
        (
            _set("members", 0, "latency", 3),
            r"members\[0\].latency: unknown key; did you mean 'latency_frames'",
        ),
        (lambda m: m.pop("classes"), "classes: missing"),
        (_set("schema", "streamsed.bundle/2"), "schema: "),
        (_set("chunk_samples", "many"), "chunk_samples: .*'many'"),
        (_set("frame_samples", 300), "chunk_samples 1024 is no multiple of frame_samples 300"),
        (_set("classes", ["low", "low", "high"]), "classes names a class twice"),
        (_set("classes", ["low", "mid/high", "x"]), r"classes\[1\]: "),
        (_set("classes", ["low", "mid"]), "postprocessing and classes differ in high"),
        (
            _set("postprocessing", "mid", {"enter": 0.2}),
            "postprocessing.mid: exit 0.5 is above enter 0.2",
        ),
        (_set("members", 0, "graph", "../tones.onnx"), r"members\[0\].graph: "),
        (_set("members", 0, "graph", "other.onnx"), "files lacks the sha256 of other.onnx"),
        (_set("files", "card.md", "0" * 63), "files.card.md: "),
    ],
)
def test_a_wrong_manifest_is_refused(
    folder: Path, change: Callable[[Manifest], object], problem: str
) -> None:
    _edit(folder, change)
    assert re.search(rf"manifest\.yaml: {problem}", _refused(folder))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("classes: [low", "is no YAML"), ("- 1", "is no mapping"), ("", "is no mapping")],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str, problem: str) -> None:
    (folder / "manifest.yaml").write_text(text, encoding="utf-8")
    assert problem in _refused(folder)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda m: (m["classes"].append("x"), m["postprocessing"].update(x={})),
            r"output 'scores' has shape \(B, 4, 3\), the manifest has \(B, 4, 4\)",
        ),
        (
            _set("chunk_samples", 2048),
            r"input 'chunk' has shape \(B, 1024\), the manifest has \(B, 2048\)",
        ),
        (
            _set("members", 0, "states", 0, "shape", [255]),
            r"input 'halo' has shape \(B, 256\), the manifest has \(B, 255\)",
        ),
        (lambda m: m["members"][0]["states"].pop(), "input 'delay' is missing in the manifest"),
        (
            lambda m: m["members"][0]["states"].append({"name": "gru", "shape": [8]}),
            "input 'gru' is missing in the graph",
        ),
        (_set("members", 0, "tags", False), "output 'tags' is missing in the manifest"),
    ],
)
def test_a_graph_that_does_not_match_is_refused(
    folder: Path, change: Callable[[Manifest], object], problem: str
) -> None:
    _edit(folder, change)
    assert re.search(rf"tones\.onnx: {problem}", _refused(folder))


def test_a_fixed_batch_is_refused(folder: Path) -> None:
    graph = onnx.load(folder / "tones.onnx")
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, folder / "tones.onnx")
    _sign(folder, "tones.onnx")
    assert "input 'chunk' has a fixed batch axis of 1" in _refused(folder)


def test_a_graph_that_is_none_is_refused(folder: Path) -> None:
    (folder / "tones.onnx").write_bytes(b"not a graph")
    _sign(folder, "tones.onnx")
    assert "tones.onnx: onnxruntime cannot load it" in _refused(folder)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"chunks": np.zeros((8, 1024), np.float32)}, "array 'scores_tones' is missing"),
        (
            {"chunks": np.zeros((8, 1000), np.float32)},
            r"array 'chunks' is float32 \(8, 1000\), not float32 \(K, 1024\)",
        ),
        ({"chunks": np.zeros((8, 1024))}, "array 'chunks' is float64"),
        ({"chunks": np.zeros((0, 1024), np.float32)}, "'chunks' is empty"),
        ({"chunks": np.full((8, 1024), np.nan, np.float32)}, "array 'chunks' holds NaN"),
        (
            {
                "chunks": np.zeros((8, 1024), np.float32),
                "scores_tones": np.zeros((7, 4, 3), np.float32),
            },
            "'scores_tones' has 7 steps, 'chunks' has 8",
        ),
    ],
)
def test_a_wrong_selftest_is_refused(
    folder: Path, arrays: dict[str, np.ndarray], problem: str
) -> None:
    np.savez(folder / "selftest.npz", **arrays)  # type: ignore[arg-type]
    _sign(folder, "selftest.npz")
    assert re.search(rf"selftest\.npz: {problem}", _refused(folder))


def test_a_selftest_that_is_none_is_refused(folder: Path) -> None:
    (folder / "selftest.npz").write_bytes(b"PK\x03\x04 but no archive")
    _sign(folder, "selftest.npz")
    assert "selftest.npz: is no readable .npz file" in _refused(folder)


def test_a_gate_without_tags_is_refused(tmp_path: Path) -> None:
    gate = {"mid": {"tag_threshold": 0.5}}
    with pytest.raises(ValidationError, match="tag_threshold of mid: "):
        make_bundle(tmp_path, postprocessing=gate)


def test_writing_wants_the_files(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    del manifest["files"]
    assert write_manifest(folder, manifest).files == bundle.load(folder).manifest.files
    (folder / "tones.onnx").unlink()
    with pytest.raises(FileNotFoundError):
        write_manifest(folder, manifest)
