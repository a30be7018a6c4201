"""What a run is computed with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning.fabric import Fabric

from streamsed.errors import ConfigError


@dataclass(frozen=True)
class MachineConfig:
    """What a run is computed with. It does not change which run it is.

    Attributes:
        device: ``cpu``, ``cuda`` or ``auto``.
        devices: of them; more than one share each batch. Under torchrun it must be its number.
        precision: ``auto`` is bf16-mixed on CUDA and 32-true elsewhere.
        workers: processes that read clips.
        threads: that compute on the CPU; null for torch's choice. Very small networks are faster
            with one.
        cache: folder in which linear mel bands are kept, computed once; null to compute them
            whenever a clip is read.
        log_every: steps between two lines of losses.
        save_every: steps between two states to resume from; every validation leaves one too.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    workers: int = 2
    threads: int | None = None
    cache: Path | None = None
    log_every: int = 20
    save_every: int = 100

    def __post_init__(self) -> None:
        positive = (self.devices, self.log_every, self.save_every, self.threads or 1)
        if min(positive) < 1 or self.workers < 0:
            raise ValueError(
                "devices, log_every, save_every and threads must be 1 or more, workers 0"
            )


def make_fabric(machine: MachineConfig) -> Fabric:
    """Return Fabric, launched: from here on there are as many processes as devices.

    Raises:
        ConfigError: the machine has no such device, or not as many.
    """
    has_cuda = torch.cuda.is_available()
    device = machine.device if machine.device != "auto" else ("cuda" if has_cuda else "cpu")
    if device == "cuda" and not has_cuda:
        raise ConfigError("device cuda: this machine, or this build of torch, has none")
    if device == "cuda" and machine.devices > torch.cuda.device_count():
        raise ConfigError(f"devices {machine.devices}; there are {torch.cuda.device_count()}")
    precision = machine.precision
    if precision == "auto":
        precision = "bf16-mixed" if device == "cuda" else "32-true"
    fabric = Fabric(
        accelerator=device,
        devices=machine.devices,
        strategy="ddp" if machine.devices > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    return fabric
