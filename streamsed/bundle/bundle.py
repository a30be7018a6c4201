"""Bundle: a model bundle whose every file has been verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle.manifest import Manifest


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Stored input and scores of K consecutive steps of one stream from its initial state.

    Attributes:
        chunks: ``(K, chunk_samples)`` float32.
        scores: for each member ``(K, frames_per_chunk, C)`` float32.
    """

    chunks: NDArray[np.float32]
    scores: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What :func:`streamsed.bundle.load` returns.

    Attributes:
        folder: where it was read from.
        manifest: its description.
        graphs: for each member the serialised ONNX graph, the very bytes that were verified.
        selftest: what the graphs must compute.
    """

    folder: Path
    manifest: Manifest
    graphs: Mapping[str, bytes]
    selftest: SelfTest
