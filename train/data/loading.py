"""Batches as torch tensors, read ahead by worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from train.data.batches import Batches


class _Steps(Dataset[Any]):
    """Batches as the loader wants them."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Any:
        return self.batches[step]


def load(batches: Batches, steps: range, *, workers: int = 0, ahead: int = 4) -> Iterator[Any]:
    """Read batches in order; from where a range starts, so a run resumes without replaying.

    Args:
        batches: what to read.
        steps: which.
        workers: processes that read; 0 reads in this one. They change nothing but the time.
        ahead: batches that each worker reads ahead.

    Yields:
        Batches of the same type, of tensors on the CPU.
    """
    loader = DataLoader(
        _Steps(batches),
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        collate_fn=_tensors,
        worker_init_fn=_leave_signals,
    )
    yield from loader


def _leave_signals(_worker: int) -> None:
    """Let Ctrl-C and SIGTERM, which reach a whole group, be what the parent makes of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _tensors(batch: Any) -> Any:
    # The loader thinks of lists; without its batching this is what the data set returned.
    return batch.map(torch.from_numpy)
