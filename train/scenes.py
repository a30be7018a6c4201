"""Soundscapes as torch batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train.data.labels import rasterise
from train.data.soundscape import SoundscapeGenerator


class Scenes(Dataset[tuple[Tensor, Tensor]]):
    """Scenes ``first .. first + count`` of a generator, mixed when asked for.

    An item is the audio ``(N,)`` float32 and its labels ``(N / frame_samples, C)`` float32.
    Scene ``i`` is the same in every run and every worker, so a run can resume at any step.
    """

    def __init__(
        self,
        generator: SoundscapeGenerator,
        *,
        first: int,
        count: int,
        classes: tuple[str, ...],
        frame_samples: int,
        sample_rate: int,
    ) -> None:
        self.generator = generator
        self.first = first
        self.count = count
        self.classes = classes
        self.frame_samples = frame_samples
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        scene = self.generator.generate(self.first + index)
        labels = rasterise(
            scene.events,
            classes=self.classes,
            frames=len(scene.audio) // self.frame_samples,
            frame_samples=self.frame_samples,
            sample_rate=self.sample_rate,
        )
        return torch.from_numpy(scene.audio), torch.from_numpy(labels)


def batches(scenes: Scenes, *, batch: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Iterate over scenes in order, mixed ahead of time by ``workers`` processes."""
    return DataLoader(
        scenes,
        batch_size=batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        drop_last=False,
    )
