"""What all data sets share that are mixed from a bank: what decides them, and how writing fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile
from pydantic import TypeAdapter

from streamsed.errors import DataError
from train.data.bank import TABLE, Bank
from train.data.soundscape import SoundscapeConfig


def identity(schema: str, *, seed: int, bank: Bank, config: SoundscapeConfig) -> dict[str, Any]:
    """Return what decides every scene, as plain data."""
    return {
        "schema": schema,
        "seed": seed,
        "bank": hashlib.sha256((bank.folder / TABLE).read_bytes()).hexdigest(),
        "soundscape": TypeAdapter(SoundscapeConfig).dump_python(config, mode="json"),
    }


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write below ``folder``, with processes that mix.

    Raises:
        DataError: a process died or the disk is full.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise DataError(f"{folder}: a mixing process died; the same command goes on") from error
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{folder}: cannot be written; is the disk full? ({error})") from error
