"""Which recordings are evaluated: those that are named, replayed, listed or scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import Note, counted, few
from streamsed.evaluate.reading.event_tables import EventFile
from streamsed.evaluate.reading.naming import RecordingNames
from streamsed.evaluate.reading.recordings import known_only


@dataclass(frozen=True, slots=True)
class Recordings:
    """Which recordings are evaluated.

    Attributes:
        names: of all.
        listed_s: lengths by recording, as far as a table has them.
        of_truth: by the name that the ground truth has for it, the recording.
    """

    names: RecordingNames
    listed_s: Mapping[str, float]
    of_truth: Mapping[str, str]


def all_recordings(
    truth: EventFile, listed_s: Mapping[str, float] | None, *, origin: Path | None, note: Note
) -> Recordings:
    """Return the recordings that the durations and the ground truth name.

    Args:
        truth: true events.
        listed_s: lengths by the names of their table; None without one.
        origin: of the lengths.
        note: is called with each line that people should read.

    Raises:
        DataError: names are ambiguous, or none of the truth's is among the lengths.
    """
    if listed_s is None:
        names = RecordingNames(truth.recordings, origin=str(truth.path))
        return Recordings(names, {}, {name: name for name in names.names})
    names = RecordingNames(listed_s, origin=str(origin))
    matches = names.match(truth.recordings, origin=str(truth.path))
    if truth.recordings and not matches.known:
        known_only(matches, what="events", origin=truth.path, names=names, note=note)
    of_truth = {**matches.known, **{name: name for name in matches.unknown}}
    _note_without_events(truth, listed_s, matches.known, origin=origin, note=note)
    every = RecordingNames((*listed_s, *matches.unknown), origin=str(origin))
    return Recordings(every, dict(listed_s), of_truth)


def replayed_recordings(
    truth: EventFile, listed_s: Mapping[str, float], *, origin: Path, note: Note
) -> Recordings:
    """Return the recordings that were replayed; the truth of others is left out, with a note."""
    names = RecordingNames(listed_s, origin=str(origin))
    matches = names.match(truth.recordings, origin=str(truth.path))
    if truth.recordings and not matches.known:
        known_only(matches, what="events", origin=truth.path, names=names, note=note)
    if matches.unknown:
        first = truth.recordings[matches.unknown[0]]
        note(
            f"left out {counted(len(matches.unknown), 'recording')} of the ground truth that "
            f"the replay does not have: {few(matches.unknown)} (the first in {first})"
        )
    _note_without_events(truth, listed_s, matches.known, origin=origin, note=note)
    return Recordings(names, dict(listed_s), matches.known)


def only(recordings: Recordings, chosen: Collection[str]) -> Recordings:
    """Return some of the recordings, in their order."""
    kept = [name for name in recordings.names.names if name in chosen]
    return Recordings(
        RecordingNames(kept, origin=recordings.names.origin),
        {name: s for name, s in recordings.listed_s.items() if name in chosen},
        {name: to for name, to in recordings.of_truth.items() if to in chosen},
    )


def listed_only(recordings: Recordings, listed: Sequence[str], *, origin: Path) -> Recordings:
    """Return the recordings that a list names.

    Raises:
        DataError: it names one that is not there.
    """
    matches = recordings.names.match(listed, origin=str(origin))
    if matches.unknown:
        raise DataError(
            f"{origin}: {counted(len(matches.unknown), 'recording')} of it are not there: "
            f"{few(matches.unknown)}; others are called {few(recordings.names.names, at_most=2)}"
        )
    return only(recordings, frozenset(matches.known.values()))


def find_audio_of(
    names: RecordingNames,
    paths: Mapping[str, Path],
    *,
    origin: Path,
    note: Note | None,
) -> dict[str, Path]:
    """Return the audio of those recordings that are evaluated.

    Args:
        names: of the recordings.
        paths: by the name that ``origin`` has for it.
        origin: where the names are from.
        note: is given what to report of audio that is not there; None where that is expected.
    """
    matches = names.match(paths, origin=str(origin))
    audio = {recording: paths[name] for name, recording in matches.known.items()}
    lacking = [name for name in names.names if name not in audio]
    if note is not None and lacking:
        note(f"{origin}: no audio of {counted(len(lacking), 'recording')}: {few(lacking)}")
    return audio


def _note_without_events(
    truth: EventFile,
    listed_s: Mapping[str, float],
    known: Mapping[str, str],
    *,
    origin: object,
    note: Note,
) -> None:
    """Note the recordings that the truth does not name."""
    named = frozenset(known.values())
    without = [name for name in listed_s if name not in named]
    if without:
        note(
            f"{truth.path}: does not name {counted(len(without), 'recording')} of {origin}, "
            f"which count as having no events: {few(without)}"
        )
