"""MAESTRO Real: minutes-long recordings of five scenes with soft labels, in five folds.

::

    development_audio/<scene>/<name>.wav
    development_annotation/soft_labels_<scene>/<name>.txt   onset  offset  label  value, no header
    development_folds/fold<1-5>_<train|val|test>.csv         filename: <scene>/<name>

Audio and annotation are the data set's archives; the folds come with the DCASE 2023 task 4B
baseline. Values are the annotators' agreement, 0 to 1, a second at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from streamsed.errors import DataError
from train.data.clips import Clip, ClipSet, require_files
from train.data.events import CONFIDENCE, Event, parse_event
from train.data.tables import read_rows

Part = Literal["train", "val", "test"]

FOLDS = (1, 2, 3, 4, 5)
SCENES = (
    "cafe_restaurant",
    "city_center",
    "grocery_store",
    "metro_station",
    "residential_area",
)
EVALUATED: tuple[str, ...] = (
    "birds_singing",
    "car",
    "people talking",
    "footsteps",
    "children voices",
    "wind_blowing",
    "brakes_squeaking",
    "large_vehicle",
    "cutlery and dishes",
    "metro approaching",
    "metro leaving",
)
"""The 11 classes whose value reaches 0.5 somewhere; the challenge evaluates these."""
ANNOTATED: tuple[str, ...] = (
    *EVALUATED,
    "furniture dragging",
    "coffee machine",
    "door opens-closes",
    "announcement",
    "shopping cart",
    "cash register beeping",
)
"""All 17 classes; the baseline trains on these. Slashes are hyphens, as bundles need them."""

_COLUMNS = ("onset", "offset", "event_label", CONFIDENCE)


def read_maestro(
    root: Path,
    *,
    fold: int,
    part: Part,
    classes: tuple[str, ...] = EVALUATED,
    scenes: tuple[str, ...] = SCENES,
    folds: Path | None = None,
) -> ClipSet:
    """Read one part of one fold.

    Clips are whole recordings with soft labels; their name is ``<scene>/<name>.wav``
    (:func:`scene_of`), and each is a recording of its own.

    Args:
        root: the folder with ``development_audio`` and ``development_annotation``.
        fold: 1 to 5.
        part: train, val or test.
        classes: of the targets; labels of the data set that are none of these, and
            labels of value 0, are dropped.
        scenes: that recordings are of; the data set's own, or a generated one's.
        folds: folder of the fold lists; None is ``development_folds`` below the root.

    Raises:
        DataError: a list, an annotation or a recording is missing or wrong.
    """
    if fold not in FOLDS or part not in get_args(Part):
        raise DataError(f"fold {fold}, {part}: must be one of folds 1 to 5 and train, val, test")
    table = (folds or root / "development_folds") / f"fold{fold}_{part}.csv"
    clips = []
    for where, row in read_rows(table, ("filename",), delimiter=","):
        scene, _, name = row["filename"].removesuffix(".wav").partition("/")
        if scene not in scenes or not name:
            raise DataError(
                f"{where}: {row['filename']!r}; must be scene/name, one of {', '.join(scenes)}"
            )
        annotation = root / "development_annotation" / f"soft_labels_{scene}" / f"{name}.txt"
        path = root / "development_audio" / scene / f"{name}.wav"
        events = _read_annotation(annotation, classes)
        clips.append(Clip(f"{scene}/{name}.wav", path, f"{scene}/{name}", events=events))
    if not clips:
        raise DataError(f"{table}: names no recordings")
    layout = f"in {root / 'development_audio'}/<scene>"
    require_files(clips, table=table, layout=layout)
    return ClipSet(f"fold{fold}_{part}", "soft", classes, tuple(clips))


def scene_of(clip: Clip) -> str:
    """Return the scene of a clip of such a data set, such as one of :data:`SCENES`."""
    return clip.name.partition("/")[0]


def _read_annotation(path: Path, classes: tuple[str, ...]) -> tuple[Event, ...]:
    events = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; expected "
            "development_annotation/soft_labels_<scene>/<name>.txt"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where, cells = f"{path}: line {number}", line.split("\t")
        if len(cells) != len(_COLUMNS):
            raise DataError(
                f"{where}: {len(cells)} cells; must be onset, offset, label, value, tab-separated"
            )
        event = parse_event(dict(zip(_COLUMNS, cells, strict=True)), where)
        if event.label not in ANNOTATED and event.label not in classes:
            raise DataError(
                f"{where}: unknown label {event.label!r}; the labels are {', '.join(ANNOTATED)}"
            )
        if event.label in classes and event.confidence > 0.0:
            events.append(event)
    return tuple(sorted(events, key=lambda e: (e.onset_s, e.offset_s, e.label)))
