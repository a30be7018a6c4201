"""What all data sets share that are mixed from a bank: what decides them, and how writing fails."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any

import soundfile
from pydantic import TypeAdapter

from streamsed.errors import DataError
from train.data.bank import TABLE, Bank
from train.data.soundscape import SoundscapeConfig
from train.writing import writing as files_written

_ROOM = 1 << 20  # bytes; with less on a disk a file may well not have fitted


def identity(schema: str, *, seed: int, bank: Bank, config: SoundscapeConfig) -> dict[str, Any]:
    """Return what decides every scene, as plain data."""
    return {
        "schema": schema,
        "seed": seed,
        "bank": bank_digest(bank),
        "soundscape": TypeAdapter(SoundscapeConfig).dump_python(config, mode="json"),
    }


def bank_digest(bank: Bank) -> str:
    """Return the SHA-256 of a bank's table, in hexadecimal."""
    return hashlib.sha256((bank.folder / TABLE).read_bytes()).hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write below ``folder``, with processes that mix.

    Raises:
        DiskFull: there is no space left.
        DataError: a process died, or files cannot be written for another reason.
    """
    try:
        with files_written(folder):
            yield
    except BrokenProcessPool as error:
        raise DataError(f"{folder}: a mixing process died; the same command goes on") from error
    except soundfile.SoundFileError as error:  # libsndfile gives no reason
        with files_written(folder):
            if disk_usage(folder).free < _ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise DataError(f"{folder}: cannot be written ({error})") from error
