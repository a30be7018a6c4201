"""Opening onnxruntime sessions, and knowing which hardware they really run on."""

from __future__ import annotations

import contextlib
import ctypes
import io
from dataclasses import dataclass
from typing import Any, Literal

import onnxruntime as ort

from streamsed.errors import BundleError, ProviderError
from streamsed.time_limit import within

Provider = Literal["auto", "cpu", "cuda"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

_LONGEST_LOAD_S = 300.0
_ERROR, _FATAL = 3, 4  # onnxruntime's log severities
_CUDA_OPTIONS = {
    # Search picks algorithms by timing them, so two starts could differ in their last bits.
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",  # ten bits of mantissa would fail the self-test
    "arena_extend_strategy": "kSameAsRequested",
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where sessions run.

    Attributes:
        provider: name of the onnxruntime execution provider.
        fallback: why it is not the requested hardware; None if it is used.
    """

    provider: str
    fallback: str | None = None

    @property
    def device(self) -> str:
        """Where states live, by the name that onnxruntime has for it."""
        return "cuda" if self.provider == CUDA else "cpu"


def choose_hardware(requested: Provider, *, require_gpu: bool) -> Hardware:
    """Decide where to run, before any session is opened.

    Args:
        requested: ``cpu``, ``cuda``, or ``auto``: CUDA where there is a GPU for it.
        require_gpu: whether anything but a GPU is an error.

    Raises:
        ProviderError: a GPU is required and there is none, or ``requested`` is ``cpu``.
    """
    if requested == "cpu":
        if require_gpu:
            raise ProviderError("require_gpu contradicts provider cpu; auto or cuda would be right")
        return Hardware(CPU)
    obstacle = _cuda_obstacle()
    if obstacle is None:
        _load_cuda_libraries()
        return Hardware(CUDA)
    return _without_gpu(requested, obstacle, require_gpu=require_gpu)


def open_session(
    graph: bytes, name: str, hardware: Hardware, *, threads: int
) -> ort.InferenceSession:
    """Open one member's graph.

    onnxruntime falls back to the CPU without an error when CUDA fails, so compare the session's
    ``get_providers()`` with ``hardware``.

    Args:
        graph: the serialised graph.
        name: the member's name, for the error.
        hardware: where it is to run.
        threads: threads inside one operator; operators run one after another.

    Raises:
        BundleError: onnxruntime cannot load the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool burns a core between the steps of a live stream.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A memory pattern is kept for every batch size ever seen; the arena alone stays small.
    options.enable_mem_pattern = False
    options.log_severity_level = _ERROR
    providers: list[Any] = [CPU]
    if hardware.provider == CUDA:
        providers.insert(0, (CUDA, _CUDA_OPTIONS))
        # Why CUDA cannot be used is reported by us, in one line.
        ort.set_default_logger_severity(_FATAL)
    try:
        return within(
            _LONGEST_LOAD_S, lambda: ort.InferenceSession(graph, options, providers=providers)
        )
    except TimeoutError:
        raise BundleError(
            f"member {name!r}: onnxruntime has not loaded its graph in {_LONGEST_LOAD_S:g} s"
        ) from None
    except Exception as error:  # onnxruntime's own exceptions share no base class
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"member {name!r}: onnxruntime cannot load its graph: {reason}"
        ) from error
    finally:
        ort.set_default_logger_severity(_ERROR)


def open_sessions(
    graphs: dict[str, bytes], requested: Provider, *, require_gpu: bool, threads: int
) -> tuple[dict[str, ort.InferenceSession], Hardware]:
    """Open every member's graph on the same hardware.

    Returns:
        The sessions by member, and where they really run.

    Raises:
        BundleError: a graph cannot be loaded.
        ProviderError: a GPU is required and cannot be used.
    """
    hardware = choose_hardware(requested, require_gpu=require_gpu)

    def open_all() -> dict[str, ort.InferenceSession]:
        return {n: open_session(g, n, hardware, threads=threads) for n, g in graphs.items()}

    sessions = open_all()
    if any(hardware.provider not in session.get_providers() for session in sessions.values()):
        obstacle = "onnxruntime could not start CUDA; are its libraries there? (extra gpu)"
        hardware = _without_gpu(requested, obstacle, require_gpu=require_gpu)
        sessions = open_all()
    return sessions, hardware


def _without_gpu(requested: Provider, obstacle: str, *, require_gpu: bool) -> Hardware:
    if require_gpu:
        raise ProviderError(f"a GPU is required (provider {requested}): {obstacle}")
    return Hardware(CPU, fallback=obstacle)


def _cuda_obstacle() -> str | None:
    """Return why CUDA cannot be used as far as one can see without trying; None if it may be."""
    if CUDA not in ort.get_available_providers():
        return "this onnxruntime is built without CUDA; install onnxruntime-gpu"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver on this machine (libcuda.so.1)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver reports an error"
    return None if count.value else "the NVIDIA driver finds no GPU"


def _load_cuda_libraries() -> None:
    """Load the CUDA libraries that the extra ``gpu`` installs, if it did."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
        ort.preload_dlls(directory="")
