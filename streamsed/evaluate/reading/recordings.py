"""The recordings of an evaluation: their names, lengths and audio."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import Note, counted, few
from streamsed.evaluate.reading.event_tables import EventRow
from streamsed.evaluate.reading.naming import Matches, RecordingNames, without_extension

_MANY_EVENTS = 10
_TOO_SMALL_SHARE = 1 / 500
_OTHER_UNIT = 5.0
_OTHER_END_S = 1.0  # scores are noted not to fit a recording if they end so much before or after it


def find_audio(folder: Path) -> dict[str, Path]:
    """Return the audio files below a folder by their path below it.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the folder of the recordings")
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if without_extension(path.name) != path.name
        and not path.name.startswith(".")
        and path.is_file()
    }


def known_only(
    matches: Matches, *, what: str, origin: Path | str, names: RecordingNames, note: Note
) -> Mapping[str, str]:
    """Return what the names of predictions mean; note those that mean nothing.

    Raises:
        DataError: there are names, and none of them means a recording.
    """
    if matches.unknown and not matches.known:
        raise DataError(
            f"{origin}: none of its recordings is evaluated; they are called "
            f"{few(map(repr, matches.unknown), at_most=2)}, the others "
            f"{few(map(repr, names.names), at_most=2)}"
        )
    if matches.unknown:
        note(
            f"{origin}: left out {what} of {counted(len(matches.unknown), 'recording')} that "
            f"neither the ground truth nor the durations name: {few(matches.unknown)}; the "
            "durations are where a recording without true events should stand"
        )
    return matches.known


def complete_durations(
    names: Iterable[str],
    *,
    listed: Mapping[str, float],
    audio: Mapping[str, Path],
    score_ends_s: Mapping[str, float],
    places: Mapping[str, str],
) -> dict[str, float]:
    """Return how long each recording is: as listed, else its audio, else its scores.

    Args:
        names: of the recordings.
        listed: durations by recording.
        audio: files by recording.
        score_ends_s: by recording, where the last frame ends.
        places: by recording, where it is named; for people.

    Raises:
        DataError: a recording has none of these, or its audio cannot be read.
    """
    durations = {}
    missing = []
    for name in names:
        if name in listed:
            durations[name] = listed[name]
        elif name in audio:
            durations[name] = _duration(audio[name])
        elif name in score_ends_s:
            durations[name] = score_ends_s[name]
        else:
            missing.append(name)
    if missing:
        first = f" ({places[missing[0]]})" if missing[0] in places else ""
        raise DataError(
            f"{missing[0]}{first}: its duration is not known, nor that of "
            f"{counted(len(missing) - 1, 'other recording')}; give --durations with them, or "
            "--audio with the folder of the recordings"
            if len(missing) > 1
            else f"{missing[0]}{first}: its duration is not known; give --durations with it, or "
            "--audio with the folder of the recordings"
        )
    return durations


def without_beyond_end(
    rows: Sequence[EventRow],
    durations_s: Mapping[str, float],
    *,
    broken_off: Collection[str],
    note: Note,
) -> list[EventRow]:
    """Leave out true events that begin at the end of their recording or after it, with a note.

    Annotations are of the whole clip, and what was downloaded of it may be shorter; nobody can
    detect what is not there. The field's libraries do not compare events with durations: psds_eval
    and sed_eval would count such an event as missed.

    Args:
        rows: true events.
        durations_s: by recording.
        broken_off: recordings that could not be read to their ends, so that it is no wonder.
        note: is called with each line that people should read.

    Raises:
        DataError: that is so of more than half of the events, but for those of recordings that
            were broken off: times or durations are in another unit, or of other recordings.
    """
    beyond_end = [row for row in rows if row.onset_s >= durations_s[row.recording]]
    if not beyond_end:
        return list(rows)
    first = beyond_end[0]
    where = (
        f"{first.place}: the onset ({first.onset_s:g} s) is not before the end of the recording "
        f"({durations_s[first.recording]:g} s)"
    )
    whole = [row for row in rows if row.recording not in broken_off]
    odd = [row for row in beyond_end if row.recording not in broken_off]
    if 2 * len(odd) > len(whole):
        raise DataError(
            f"{where}, as of {len(odd)} of {counted(len(whole), 'true event')}; "
            "onsets, offsets and durations in seconds, of the same recordings, would be right"
        )
    note(f"left out {counted(len(beyond_end), 'true event')} after the end, first {where}")
    return [row for row in rows if row.onset_s < durations_s[row.recording]]


def check_units(
    rows: Sequence[EventRow], durations_s: Mapping[str, float], *, origin: Path
) -> None:
    """Check that durations are not in a smaller unit than the events, such as milliseconds.

    False alarms an hour, PSDS and every rate would come out a thousand times too good.

    Raises:
        DataError: many events, and all end in the first five hundredth of their recordings.
    """
    if len(rows) < _MANY_EVENTS:
        return
    shares = [row.offset_s / durations_s[row.recording] for row in rows]
    if max(shares) < _TOO_SMALL_SHARE:
        last = rows[int(np.argmax(shares))]
        raise DataError(
            f"{origin}: all {len(rows)} events end within the first {100 * max(shares):.2g} % of "
            f"their recordings, the last at {last.offset_s:g} s of {durations_s[last.recording]:g} "
            "s; onsets, offsets and durations in seconds would be right (not milliseconds, and "
            "not samples)"
        )


def note_other_ends(
    score_ends_s: Mapping[str, float], durations_s: Mapping[str, float], *, note: Note
) -> None:
    """Note scores that end far from where their recording does.

    Raises:
        DataError: most end at less than a fifth of it, or five times as late: another unit.
    """
    odd = [
        name
        for name, end in score_ends_s.items()
        if not 1 / _OTHER_UNIT <= end / durations_s[name] <= _OTHER_UNIT
    ]
    if 2 * len(odd) > len(score_ends_s):
        raise DataError(
            f"the scores of {odd[0]} end at {score_ends_s[odd[0]]:g} s, and it lasts "
            f"{durations_s[odd[0]]:g} s, as of {len(odd)} of {len(score_ends_s)} recordings; "
            "frames and durations in seconds, of the same recordings, would be right"
        )
    other = [
        f"{name} ({end:g} s of {durations_s[name]:g} s)"
        for name, end in score_ends_s.items()
        if abs(end - durations_s[name]) > _OTHER_END_S
    ]
    if other:
        note(
            f"the scores of {counted(len(other), 'recording')} end more than {_OTHER_END_S:g} s "
            f"before or after the recording: {few(other)}"
        )


def _duration(path: Path) -> float:
    try:
        return float(soundfile.info(str(path)).duration)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: its duration cannot be read: {error.error_string}") from error
