"""The journal: what has become of the recordings so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from streamsed.errors import ConfigError
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import Recording


def read_journal(folder: ReplayFolder) -> dict[str, Outcome]:
    """Read the latest outcome of each recording, by name; nothing if there is no journal.

    A last line that was cut off, because the writer was killed, is passed over.

    Raises:
        ConfigError: another line is no outcome.
    """
    path = folder.journal
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    outcomes = {}
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is not whole
        try:
            outcome = Outcome.model_validate_json(line)
        except ValidationError as error:
            raise ConfigError(
                f"{path}:{number}: is no line of a replay's journal; replay with --overwrite"
            ) from error
        outcomes[outcome.name] = outcome
    return outcomes


def read_in_order(folder: ReplayFolder, recordings: Iterable[Recording]) -> Iterator[Outcome]:
    """Yield the latest outcome of each recording, as they are needed: all may be too many to hold.

    The journal, which must hold one of each, is in the order in which they came.
    """
    with folder.journal.open("rb") as file:
        places: dict[str, int] = {}
        place = 0
        for line in file:
            places[Outcome.model_validate_json(line).name] = place
            place += len(line)
        for recording in recordings:
            file.seek(places[recording.name])
            yield Outcome.model_validate_json(file.readline())


class ReplayJournal:
    """Appends outcomes, each in the file before :meth:`add` returns.

    Args:
        folder: of the replay.
        kept: outcomes that it begins with; whatever else was in it is dropped.
    """

    def __init__(self, folder: ReplayFolder, kept: Iterable[Outcome] = ()) -> None:
        with folder.written(folder.journal) as file:
            file.writelines(_line(outcome) for outcome in kept)
        self._file = folder.journal.open("a", encoding="utf-8", newline="\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Append an outcome."""
        self._file.write(_line(outcome))
        self._file.flush()


def _line(outcome: Outcome) -> str:
    return outcome.model_dump_json() + "\n"
