"""A full disk is one line, and what was there before stays whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from streamsed.errors import DataError
from train.checkpoint import save_tensors
from train.writing import DiskFull, full_disk, replacing

FULL = Path("/dev/full")


def test_a_file_takes_the_place_of_another_in_one_go(tmp_path: Path) -> None:
    file = tmp_path / "below" / "a.txt"
    for text in ("one", "two"):
        with replacing(file) as part:
            part.write_text(text)
        assert file.read_text() == text
    with pytest.raises(DataError, match="cannot be written: it went wrong"):
        write(file, OSError("it went wrong"))
    assert file.read_text() == "two"
    assert list(file.parent.iterdir()) == [file]


def write(file: Path, error: OSError | None = None) -> None:
    """Write a file, with an error on the way."""
    with replacing(file) as part:
        part.write_text("three")
        if error is not None:
            raise error


def fill(folder: Path) -> None:
    with full_disk(folder), FULL.open("w") as file:
        file.write("x")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=f"^{tmp_path}: the disk is full; free some space, and the"):
        fill(tmp_path)


def test_another_reason_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written: ") as raised:
        write(tmp_path / "file" / "below")
    assert not isinstance(raised.value, DiskFull)


def test_tensors_that_do_not_fit_leave_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.pt"
    save_tensors(file, {"a": torch.ones(3)})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match=r"state\.pt: the disk is full"):
        save_tensors(file, {"a": torch.zeros(3)})
    monkeypatch.undo()
    torch.testing.assert_close(torch.load(file)["a"], torch.ones(3))
    assert list(tmp_path.iterdir()) == [file]
