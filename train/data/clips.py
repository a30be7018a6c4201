"""Labelled audio: clips with what is known of them, and sets of clips of one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from streamsed.errors import DataError
from train.data.events import Event
from train.data.targets import TargetForm

Kind = Literal["strong", "soft", "weak", "unlabelled"]
"""What is known of a set's clips: events, events with confidences, tags, or nothing."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Events or tags of a clip, for a target beside those of its own labels.

    Attributes:
        events: with confidences; None of labels that are tags.
        tags: None of labels that are events.
    """

    events: tuple[Event, ...] | None = None
    tags: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.events is None) == (self.tags is None):
            raise ValueError("labels are events or tags")


@dataclass(frozen=True, slots=True)
class Clip:
    """A file and what is known of the sounds in it.

    Attributes:
        name: unique in its set, as the set's tables write it.
        path: the file.
        recording: key of splits; clips of one recording never part.
        duration_s: if a table has it.
        events: strong or soft labels; None if they are not known.
        tags: classes that occur somewhere in it, sorted; None if they are not known.
        further: labels of other sources, by the name of the target that they become.
    """

    name: str
    path: Path
    recording: str
    duration_s: float | None = None
    events: tuple[Event, ...] | None = None
    tags: tuple[str, ...] | None = None
    further: Mapping[str, Labels] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.events is not None and self.tags is not None:
            raise ValueError(f"clip {self.name}: has events and tags; tags follow from events")

    @property
    def kind(self) -> Kind:
        """What is known of the clip; ``soft`` if any event's confidence is not 1."""
        if self.events is not None:
            return "soft" if any(e.confidence != 1.0 for e in self.events) else "strong"
        return "unlabelled" if self.tags is None else "weak"

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes of the tags or events, sorted."""
        if self.events is not None:
            return tuple(sorted({event.label for event in self.events}))
        return self.tags or ()


@dataclass(frozen=True)
class ClipSet:
    """Clips of one kind.

    Attributes:
        name: such as ``weak``.
        kind: what is known of every clip.
        classes: every label is one of these; the columns of targets.
        clips: in the order of the tables.
        further: what the clips' further labels are, by the name of their target.

    Raises:
        DataError: a name stands twice, a label is none of the classes, or a clip is not of the
            set's kind.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    further: Mapping[str, TargetForm] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        counts = Counter(clip.name for clip in self.clips)
        if len(counts) < len(self.clips):
            twice = next(name for name, count in counts.items() if count > 1)
            raise DataError(f"{self.name}: clip {twice} stands twice; names must be unique")
        known, fitting = set(self.classes), {self.kind}
        if self.kind == "soft":
            fitting.add("strong")
        for clip in self.clips:
            if clip.kind not in fitting:
                raise DataError(f"{self.name}: clip {clip.name} is {clip.kind}, not {self.kind}")
            if odd := [label for label in clip.labels if label not in known]:
                raise DataError(
                    f"{self.name}: clip {clip.name}: unknown label {odd[0]!r}; "
                    f"the classes are {', '.join(self.classes)}"
                )

    def __len__(self) -> int:
        return len(self.clips)

    def split(self, share: float, *, seed: int) -> tuple[ClipSet, ClipSet]:
        """Part the set in two so that no recording stands on both sides.

        Recordings are drawn in an order that depends on their names and the seed alone, until the
        first part has ``share`` of the clips as nearly as whole recordings allow. Both parts keep
        the set's order.

        Raises:
            ValueError: the share is not between 0 and 1.
            DataError: the set has fewer than two recordings.
        """
        if not 0.0 < share < 1.0:
            raise ValueError(f"share {share}; must be between 0 and 1")
        counts = Counter(clip.recording for clip in self.clips)
        if len(counts) < 2:
            raise DataError(
                f"{self.name}: has {len(counts)} recording(s); a split needs two or more"
            )
        drawn = sorted(counts)
        np.random.default_rng(seed).shuffle(drawn)
        sizes = np.cumsum([counts[recording] for recording in drawn])[:-1]
        taken = 1 + int(np.argmin(np.abs(sizes - share * len(self.clips))))
        first = set(drawn[:taken])
        parts = (
            [c for c in self.clips if (c.recording in first) is side] for side in (True, False)
        )
        one, other = (replace(self, clips=tuple(part)) for part in parts)
        return one, other

    def without(self, recordings: Collection[str]) -> ClipSet:
        """The set less the clips of some recordings, such as those of a set that tests."""
        left_out = set(recordings)
        kept = tuple(clip for clip in self.clips if clip.recording not in left_out)
        return replace(self, clips=kept)

    def labelled(self, name: str, form: TargetForm, labels: Mapping[str, Labels]) -> ClipSet:
        """Return the set with further labels.

        Args:
            name: of the target that they become.
            form: of the labels.
            labels: by name of the clip; of clips that are missing they are not known.

        Raises:
            DataError: the set has such labels already, or a label is none of the form's classes.
        """
        if name in self.further:
            raise DataError(f"{self.name}: has labels {name} already")
        for clip, found in labels.items():
            wanted = {event.label for event in found.events or ()} | set(found.tags or ())
            if odd := sorted(wanted - set(form.classes)):
                raise DataError(
                    f"{form.source}: clip {clip}: unknown label {odd[0]!r}; "
                    f"the classes are {', '.join(form.classes)}"
                )
        clips = tuple(
            replace(clip, further={**clip.further, name: labels[clip.name]})
            if clip.name in labels
            else clip
            for clip in self.clips
        )
        return replace(self, clips=clips, further={**self.further, name: form})

    def durations(self) -> dict[str, float]:
        """Seconds of every clip, by name; read from the file's header where no table has it.

        Raises:
            DataError: a file cannot be read.
        """
        return {clip.name: _duration_s(clip) for clip in self.clips}


def _duration_s(clip: Clip) -> float:
    if clip.duration_s is not None:
        return clip.duration_s
    try:
        info = soundfile.info(clip.path)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{clip.path}: cannot be read as audio: {error}") from error
    return float(info.frames / info.samplerate)


def require_files(clips: Collection[Clip], *, table: Path, layout: str) -> None:
    """Refuse clips whose files are not there.

    Args:
        clips: what a table lists.
        table: that table, for the message.
        layout: where the files should be, in words.

    Raises:
        DataError: one line: how many are missing, the first, and the layout.
    """
    missing = [clip for clip in clips if not clip.path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more of {len(clips)} files" if len(missing) > 1 else ""
        raise DataError(
            f"{missing[0].path}{more}: missing, but {table} names them; expected {layout}"
        )
