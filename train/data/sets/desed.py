"""A data set in DESED's shape, with further labels of its clips if there are any."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from streamsed.errors import ConfigError
from train.data.clips import Labels
from train.data.desed import Part, read_desed
from train.data.events import read_tsv
from train.data.headers import decodable
from train.data.sets.clips import ClipSets
from train.data.sets.registry import DATA
from train.data.tables import read_rows
from train.data.targets import STRONG, WEAK, LabelForm, TargetForm

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class LabelsConfig:
    """Labels of clips from a table of their own, such as pseudo labels.

    Attributes:
        table: in DESED's form: ``filename onset offset event_label`` of events, where a row of a
            name alone is a clip without any, or ``filename event_labels`` of tags. Of clips that
            it does not name, these labels are not known.
        form: what the table holds.
    """

    table: Path
    form: LabelForm = "events"

    def read(self, classes: tuple[str, ...]) -> tuple[TargetForm, dict[str, Labels]]:
        """Return the form of the labels, and the labels by clip.

        Raises:
            DataError: the table cannot be read.
        """
        found: dict[str, Labels] = {}
        if self.form == "events":
            for name, events in read_tsv(self.table).items():
                found[name] = Labels(events=events)
        else:
            for _, row in read_rows(self.table, ("filename", "event_labels")):
                tags = {tag for tag in row["event_labels"].split(",") if tag}
                found[row["filename"]] = Labels(tags=tuple(sorted(tags)))
        return TargetForm(self.form, classes, source=str(self.table)), found


@dataclass(frozen=True)
class DesedConfig:
    """What of a data set in DESED's shape is trained on.

    Attributes:
        strong: synthetic clips with events in each batch; 0 leaves a part out.
        strong_real: recorded clips with events in each batch. None in 2021.
        weak: clips with tags in each batch.
        unlabelled: clips without labels in each batch.
        duration_s: clips are padded with silence or cropped at random to this.
        weak_validation: share of the weak clips, by recording, that is kept to validate on. The
            baseline's is a tenth of the clips, drawn without regard to recordings.
        split_seed: of that share.
        steps_per_epoch: null ends an epoch with the shortest set, as the baseline: 1420 weak
            clips and 12 a batch make 118 steps.
        missing: ``refuse`` a data set of which a file is missing or cannot be decoded, or
            ``leave_out`` the file.
        labels: further labels of the training clips, by the name of the target that they become.
        kind: names this form.
    """

    yields: ClassVar[Literal["clips", "mixtures"]] = "clips"
    strong: int = 12
    strong_real: int = 0
    weak: int = 12
    unlabelled: int = 24
    duration_s: float = 10.0
    weak_validation: float = 0.1
    split_seed: int = 42
    steps_per_epoch: int | None = None
    missing: Literal["refuse", "leave_out"] = "refuse"
    labels: dict[str, LabelsConfig] = field(default_factory=dict)
    kind: Literal["desed"] = "desed"

    def __post_init__(self) -> None:
        counts = (self.strong, self.strong_real, self.weak, self.unlabelled)
        if min(counts) < 0 or not any(counts):
            raise ValueError(f"counts {counts}; must be 0 or more, and not all 0")
        if not 0.0 < self.weak_validation < 1.0:
            raise ValueError(f"weak_validation {self.weak_validation}; must be between 0 and 1")
        if odd := sorted({STRONG, WEAK} & self.labels.keys()):
            raise ValueError(f"labels.{odd[0]}: is the data set's own; choose another name")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@DATA.register(DesedConfig)
def read_sets(root: Path, recipe: Recipe) -> ClipSets:
    """Read a recipe's parts of a data set in DESED's shape.

    Raises:
        DataError: a part is missing or wrong.
        ConfigError: nothing is learned from labels.
    """
    data, classes = recipe.data, recipe.model.classes
    assert isinstance(data, DesedConfig)
    if not data.strong and not data.strong_real and not data.weak:
        raise ConfigError("data: only unlabelled clips; some must have labels")
    counts: dict[Part, int] = {
        "strong": data.strong,
        "strong_real": data.strong_real,
        "weak": data.weak,
        "unlabelled": data.unlabelled,
    }
    sets = {
        part: read_desed(root, part, classes=classes, missing=data.missing)
        for part, count in counts.items()
        if count
    }
    strong = read_desed(root, recipe.validation.part, classes=classes, missing=data.missing)
    whole = decodable({**sets, "to validate on": strong}, missing=data.missing)
    strong = whole.pop("to validate on")
    sets = {part: whole[part] for part in sets}
    weak = None
    if "weak" in sets:
        sets["weak"], weak = sets["weak"].split(1.0 - data.weak_validation, seed=data.split_seed)
    for name, config in data.labels.items():
        form, labels = config.read(classes)
        sets = {part: clips.labelled(name, form, labels) for part, clips in sets.items()}
    return ClipSets(
        recipe,
        training=tuple((clips, counts[part]) for part, clips in sets.items()),
        strong=strong,
        weak=weak,
    )
