"""Reading a bundle: everything is checked against the manifest."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from streamsed.bundle.bundle import Bundle, SelfTest
from streamsed.bundle.manifest import MANIFEST_FILE, SELFTEST_FILE, Manifest, Member
from streamsed.errors import BundleError
from streamsed.regular_file import read_regular
from streamsed.validation_messages import one_line

_MOST_MANIFEST_BYTES = 1 << 20
_MOST_FILE_BYTES = (1 << 31) - 1  # of a graph: a protobuf message is no longer
_MOST_SELFTEST_BYTES = 1 << 28  # of its arrays, however small they are compressed
_FATAL = 4  # onnxruntime's highest log severity: what fails is raised, and need not be logged


def load(path: Path) -> Bundle:
    """Read a bundle and verify every file of it.

    Checked: the manifest's keys and their consistency, the sha256 of every file, names, shapes
    and types of every graph's inputs and outputs, shapes of the self-test's arrays. That the
    graphs reproduce the self-test is checked by the engine, on the hardware it uses.

    Args:
        path: the bundle's folder.

    Raises:
        BundleError: something is missing or does not match; one line names the file and the key.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle; a folder with {MANIFEST_FILE} is wanted")
    manifest = _read_manifest(path / MANIFEST_FILE)
    contents = {name: _read_verified(path / name, sha) for name, sha in manifest.files.items()}
    graphs = {member.name: contents[member.graph] for member in manifest.members}
    for member in manifest.members:
        _check_graph(path / member.graph, graphs[member.name], member, manifest)
    selftest = _read_selftest(path / SELFTEST_FILE, contents[SELFTEST_FILE], manifest)
    return Bundle(folder=path, manifest=manifest, graphs=graphs, selftest=selftest)


def _read_manifest(path: Path) -> Manifest:
    try:
        content = yaml.safe_load(_read(path, most_bytes=_MOST_MANIFEST_BYTES).decode())
    except UnicodeDecodeError as error:
        raise BundleError(f"{path}: is no UTF-8 text") from error
    except yaml.YAMLError as error:
        raise BundleError(f"{path}: is no YAML: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: is no mapping of keys to values")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        problem = one_line(error, model=Manifest)
        raise BundleError(f"{path}: {problem}") from error


def _read(path: Path, *, most_bytes: int) -> bytes:
    if path.is_symlink():
        raise BundleError(f"{path}: is a link; a bundle holds regular files only")
    try:
        return read_regular(path, most_bytes=most_bytes, follow_links=False)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_verified(path: Path, sha256: str) -> bytes:
    content = _read(path, most_bytes=_MOST_FILE_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BundleError(
            f"{path}: is corrupt: sha256 {found[:12]}…, the manifest has {sha256[:12]}…"
        )
    return content


def _check_graph(path: Path, graph: bytes, member: Member, manifest: Manifest) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = 1
    # Only the interface is wanted: optimising the graph is the engine's business.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise BundleError(f"{path}: onnxruntime cannot load it: {_first_line(error)}") from error
    inputs, outputs = expected_interface(member, manifest)
    _check_tensors(path, "input", inputs, session.get_inputs())
    _check_tensors(path, "output", outputs, session.get_outputs())


def expected_interface(
    member: Member, manifest: Manifest
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return the shapes, without the batch axis, that a member's graph must take and give."""
    classes = len(manifest.classes)
    states = {state.name: state.shape for state in member.states}
    inputs = {"chunk": (manifest.chunk_samples,), **states}
    outputs: dict[str, tuple[int, ...]] = {"scores": (manifest.frames_per_chunk, classes)}
    if member.tags:
        outputs["tags"] = (classes,)
    outputs.update({f"next_{name}": shape for name, shape in states.items()})
    return inputs, outputs


def _check_tensors(
    path: Path, kind: str, expected: dict[str, tuple[int, ...]], found: Iterable[ort.NodeArg]
) -> None:
    nodes = {node.name: node for node in found}
    if odd := sorted(set(nodes) ^ set(expected)):
        where = "the manifest" if odd[0] in nodes else "the graph"
        raise BundleError(f"{path}: {kind} {odd[0]!r} is missing in {where}")
    for name, shape in expected.items():
        node = nodes[name]
        if node.type != "tensor(float)":
            raise BundleError(f"{path}: {kind} {name!r} is {node.type}, not tensor(float)")
        wanted = f"(B, {', '.join(map(str, shape))})"
        if tuple(node.shape[1:]) != shape:
            found_shape = f"({', '.join(map(str, node.shape))})"
            raise BundleError(
                f"{path}: {kind} {name!r} has shape {found_shape}, the manifest has {wanted}"
            )
        if isinstance(node.shape[0], int):
            raise BundleError(
                f"{path}: {kind} {name!r} has a fixed batch axis of {node.shape[0]}, not {wanted}"
            )


def _read_selftest(path: Path, content: bytes, manifest: Manifest) -> SelfTest:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as compressed:
            size = sum(info.file_size for info in compressed.infolist())
        if size > _MOST_SELFTEST_BYTES:
            raise BundleError(
                f"{path}: its arrays take {size} bytes, more than {_MOST_SELFTEST_BYTES}"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        MemoryError,
        ValueError,
        OSError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise BundleError(f"{path}: is no readable .npz file: {_first_line(error)}") from error
    chunks = _selftest_array(path, arrays, "chunks", (manifest.chunk_samples,))
    steps = len(chunks)
    if steps == 0:
        raise BundleError(f"{path}: 'chunks' is empty; at least one step is wanted")
    shape = (manifest.frames_per_chunk, len(manifest.classes))
    scores = {}
    for member in manifest.members:
        name = f"scores_{member.name}"
        scores[member.name] = _selftest_array(path, arrays, name, shape)
        if len(scores[member.name]) != steps:
            raise BundleError(
                f"{path}: {name!r} has {len(scores[member.name])} steps, 'chunks' has {steps}"
            )
    return SelfTest(chunks=chunks, scores=scores)


def _selftest_array(
    path: Path, arrays: dict[str, NDArray[np.float32]], name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    if name not in arrays:
        raise BundleError(f"{path}: array {name!r} is missing")
    array = arrays[name]
    if not isinstance(array, np.ndarray):
        raise BundleError(f"{path}: array {name!r} is none")
    if array.dtype != np.float32 or array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise BundleError(
            f"{path}: array {name!r} is {array.dtype} {array.shape}, "
            f"not float32 (K, {', '.join(map(str, shape))})"
        )
    if not np.isfinite(array).all():
        raise BundleError(f"{path}: array {name!r} holds NaN or infinity")
    return np.ascontiguousarray(array)


def _first_line(error: Exception) -> str:
    """Return an exception's message without line breaks, shortened."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "…"
