"""Run marker: a file that exists for as long as the results of a run are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from streamsed.errors import ConfigError
from streamsed.replay.folder import ReplayFolder


@dataclass(frozen=True, slots=True)
class RunMarker:
    """A file in the results' folder for as long as the run goes on. Picklable.

    A cluster cannot interrupt what its workers do. They check for this file now and then and give
    up when it is gone: the run was stopped or, if it was killed, another was begun in the folder.
    It also shows whether a worker has the same folder.

    Attributes:
        path: of the file, which holds its own name.
    """

    path: Path

    @property
    def is_wanted(self) -> bool:
        """Whether the results are wanted, by the file as this machine has it."""
        try:  # opening, unlike stat, makes network file systems query the server
            return self.path.read_text(encoding="utf-8") == self.path.name
        except FileNotFoundError:
            return False


@contextmanager
def run_marked(folder: ReplayFolder) -> Iterator[RunMarker]:
    """Make a marker in a folder, and the folder if need be; take away again what was made.

    Raises:
        ConfigError: the folder cannot be written.
    """
    marker = RunMarker(folder.partial_file())
    made = [path for path in (marker.path.parent, folder.path) if not path.exists()]
    try:
        marker.path.parent.mkdir(parents=True, exist_ok=True)
        marker.path.write_text(marker.path.name, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder.path}: cannot be written: {error.strerror}"
        ) from error
    try:
        yield marker
    finally:
        with suppress(OSError):
            marker.path.unlink(missing_ok=True)
            for path in made:
                path.rmdir()
