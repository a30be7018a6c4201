"""Standard output and standard error, which may be closed, full, or unread."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO, cast

import typer

from streamsed.printable import printable_lines

_OF_OUTPUT = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT}


def hold_descriptors() -> None:
    """Open what of standard input, output and error is closed.

    Else the next file that is opened takes its place, and whatever is written for people is
    written into that: the journal, at the worst.
    """
    for wanted in (0, 1, 2):
        try:
            os.fstat(wanted)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            if opened != wanted:
                os.close(opened)


def print_error(text: str) -> None:
    """Write lines to standard error, if that is possible."""
    with contextlib.suppress(OSError, ValueError):
        typer.echo(printable_lines(text), err=True)


def is_of_output(error: OSError) -> bool:
    """Whether an error can only come of writing to standard output: it names no file."""
    return error.errno in _OF_OUTPUT and error.filename is None


def give_output_up() -> None:
    """Write nowhere from now on, so that the interpreter's own last flush is quiet too."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


class Lenient:
    """A text stream that loses what cannot be written, rather than end the program for it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that is possible."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Be like the stream in everything else."""
        return getattr(self._stream, name)


def tolerate_lost_errors() -> None:
    """Pass over errors of writing to standard error."""
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, Lenient(sys.stderr))
