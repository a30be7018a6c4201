"""Recordings with soft labels as a data set of hard ones, in DESED's shape, without copies.

Thresholds and windows of a bundle are fitted to events, and figures reported of them; the
challenge that soft labels come from evaluates hard ones too. Audio is linked, not copied.
"""

from __future__ import annotations

from pathlib import Path

from train.data.clips import ClipSet
from train.data.crops import PRESENT
from train.data.desed import PLACES
from train.data.desed import Part as HardPart
from train.data.events import Event, merge, write_tsv
from train.data.maestro import Part, read_maestro
from train.layering import signature
from train.writing import writing

PARTS: dict[HardPart, Part] = {
    "strong": "train",
    "strong_validation": "val",
    "validation": "test",
}
"""Parts of a fold by what they are in DESED's shape."""


def hard_view(
    root: Path, *, fold: int, classes: tuple[str, ...], scenes: tuple[str, ...], cache: Path
) -> Path:
    """Return a folder in DESED's shape with the recordings of a fold.

    Args:
        root: of the data set, in MAESTRO Real's shape.
        fold: 1 to 5.
        classes: of the events.
        scenes: of the recordings.
        cache: folder below which it lies.

    Raises:
        DataError: a part is missing or wrong, or there is no space left.
    """
    whole = {"root": str(root.resolve()), "fold": fold, "classes": list(classes)}
    view = cache / f"hard-{signature(whole)}"
    with writing(view):
        for part, name in PARTS.items():
            clips = read_maestro(root, fold=fold, part=name, classes=classes, scenes=scenes)
            _link(view, part, clips)
    return view


def _link(view: Path, part: HardPart, clips: ClipSet) -> None:
    place = PLACES[part]
    assert place.table is not None
    folder, table = view / place.audio[0], view / place.table
    folder.mkdir(parents=True, exist_ok=True)
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = {}
    for clip in clips.clips:
        link = folder / clip.path.name
        link.unlink(missing_ok=True)
        link.symlink_to(clip.path.resolve())
        rows[clip.path.name] = hard_events(clip.events or ())
    for old in folder.iterdir():
        if old.name not in rows:
            old.unlink()
    write_tsv(table, rows)


def hard_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return events of soft labels from 0.5 on, seconds that touch joined."""
    present = [
        Event(event.label, event.onset_s, event.offset_s)
        for event in events
        if event.confidence >= PRESENT
    ]
    return merge(present)
