"""A recipe: everything that decides what a training run learns. The defaults are DCASE 2021's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, TypeAdapter

from streamsed.bundle.manifest import class_name
from streamsed.errors import ConfigError
from streamsed.validation_messages import Mistake, suggest
from streamsed.yaml_document import Document, all_mistakes
from train.augment import AugmentConfig
from train.augment.mixup import MixupConfig
from train.data.classes import CLASSES
from train.data.sets.registry import DATA, DataConfig
from train.engine.machine import MachineConfig
from train.engine.networks import OptimiserConfig
from train.layering import REPLACE, Layers, Plain, delta, laid_over, read_layered
from train.models.crnn2021 import CRNN2021Config
from train.models.model import ModelConfig
from train.models.presets import PRESETS, preset
from train.models.registry import MODELS
from train.postprocess.choices import ObjectiveName, WindowMethod
from train.stages.registry import STAGES, StageConfig

FigureName = Literal["f1", "average_precision"]
HeldOutPart = Literal["strong_validation", "validation", "public"]


@dataclass(frozen=True)
class ValidationConfig:
    """How checkpoints are compared.

    Attributes:
        part: clips with events that networks are compared on. The baseline's are synthetic.
        objective: ``f1`` is clip-level macro F1 plus intersection macro F1, at 0.5 (the
            baseline); ``average_precision`` the mean of the frames' in each class, which knows no
            threshold.
        selection: name of the network whose figure decides which checkpoint is ``best.pt``, and
            that it holds; null for the stage's first, such as the student (the baseline). All are
            logged, and the best of each is kept.
        every_epochs: between validations.
        median_s: length of the median filter before the threshold, rounded to an odd number of
            frames; the baseline's is 7 frames of 64 ms.
        patience: validations without improvement after which the run ends; null for none, as the
            baseline.
        batch: clips at a time.
    """

    part: HeldOutPart = "strong_validation"
    objective: FigureName = "f1"
    selection: str | None = None
    every_epochs: int = 1
    median_s: float = 0.45
    patience: int | None = None
    batch: int = 24

    def __post_init__(self) -> None:
        if self.every_epochs < 1 or self.batch < 1:
            raise ValueError("every_epochs and batch must be 1 or more")


@dataclass(frozen=True)
class PostprocessingConfig:
    """How export fits windows and thresholds. It does not change which run it is.

    Attributes:
        windows: ``event-specific`` and ``average`` make median windows of the durations of
            training events; ``search`` tries some on the part that thresholds are fitted on.
        part: whose events thresholds are fitted on. By default none that results are reported on.
        report: part whose figures stand on the card.
        objective: what is fitted for, as of ``streamsed-train calibrate``.
        limit: of the objective ``false-alarms``.
    """

    windows: WindowMethod = WindowMethod.EVENT_SPECIFIC
    part: HeldOutPart = "strong_validation"
    report: HeldOutPart = "validation"
    objective: ObjectiveName = ObjectiveName.BALANCED
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.windows is WindowMethod.KEEP:
            raise ValueError("windows keep; a new bundle has none to keep")
        if (self.objective is ObjectiveName.FALSE_ALARMS) != (self.limit is not None):
            raise ValueError("limit goes with objective false-alarms, and with no other")
        if self.part == self.report:
            raise ValueError(f"part and report are both {self.part}; results would flatter")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: for the run's folder.
        model: the network; its ``kind`` is one of :data:`train.models.registry.MODELS`.
        stage: how it is trained, and that stage's own options; its ``kind`` is one of
            :data:`train.stages.registry.STAGES`.
        init_from: checkpoint of a network of this size that is begun with, scaling included; null
            begins with random weights. A jss always begins with one, joined or trained before.
        data: what is learned from; its ``kind`` is one of :data:`train.data.sets.registry.DATA`.
        mixup: of clips with labels.
        augment: other changes, the same for all networks; null for none, as in 2021.
        optimiser: of learned networks that have none of their own.
        validation: how checkpoints are compared.
        postprocessing: how scores become events in a bundle.
        epochs: length of the run.
        accumulate: batches whose gradients, in their mean, make one step.
        statistics_batches: from which the front end's mean and deviation are fixed, if it is
            scaled by these.
        seed: of weights, batches and all chance.
        machine: what it is computed with.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    model: Annotated[ModelConfig, MODELS] = field(default_factory=lambda: CRNN2021Config(CLASSES))
    stage: Annotated[StageConfig, STAGES] = field(default_factory=STAGES.default_config)
    init_from: Path | None = None
    data: Annotated[DataConfig, DATA] = field(default_factory=DATA.default_config)
    mixup: MixupConfig = field(default_factory=MixupConfig)
    augment: AugmentConfig | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    postprocessing: PostprocessingConfig = field(default_factory=PostprocessingConfig)
    epochs: int = 200
    accumulate: int = 1
    statistics_batches: int = 8
    seed: int = 42
    machine: MachineConfig = field(default_factory=MachineConfig)

    def __post_init__(self) -> None:
        for label in getattr(self.model, "classes", ()):
            if class_name(label) != label:
                raise ValueError(
                    f"model.classes: {label!r} has a slash, which no bundle's class may; "
                    f"{class_name(label)!r} would be right"
                )
        if min(self.epochs, self.statistics_batches, self.accumulate) < 1:
            raise ValueError("epochs, statistics_batches and accumulate must be 1 or more")
        names, selection = self.stage.network_names(), self.validation.selection
        if selection is not None and selection not in names:
            raise ValueError(
                f"validation.selection is {selection}, but there is none; the networks of stage "
                f"{self.stage.kind} are {', '.join(names)}"
            )
        self.stage.check(self)

    @property
    def selection(self) -> str:
        """Name of the network that ``best.pt`` is of."""
        return self.validation.selection or self.stage.network_names()[0]


NO_IDENTITY = ("machine", "postprocessing")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe and what it extends.

    Raises:
        ConfigError: unknown keys or wrong values; all are named, with file and line.
    """
    return checked_recipe(read_layered(path))


def parse_recipe(content: Mapping[str, Any], *, where: str) -> Recipe:
    """Build a recipe from plain data, as a run's folder holds it.

    Raises:
        ConfigError: unknown keys or wrong values; all are named.
    """
    return checked_recipe(Layers(dict(content), (Document(Path(where), dict(content), {}, {}),)))


def checked_recipe(layers: Layers) -> Recipe:
    """Build a recipe from layers of plain data.

    ``model: {preset: NAME}`` stands for all that :mod:`train.models.presets` has under this name,
    under whatever else stands there.

    Raises:
        ConfigError: unknown keys or wrong values; all are named, with file and line.
    """
    model = layers.content.get("model")
    if isinstance(model, Mapping) and "preset" in model:
        layers = Layers({**layers.content, "model": _with_preset(model, layers)}, layers.documents)
    return layers.checked(Recipe, adapter=_adapter(_kinds()))


def _kinds() -> tuple[str, ...]:
    return tuple(kind for registry in (MODELS, STAGES, DATA) for kind in registry.configs())


@lru_cache(maxsize=1)
def _adapter(_registered: tuple[str, ...]) -> TypeAdapter[Recipe]:
    """Return what validates recipes of all kinds that are registered by now."""
    return TypeAdapter(Recipe)


def _with_preset(model: Mapping[str, Any], layers: Layers) -> Plain:
    """Lay a recipe's model over the preset that it names."""
    own = {key: value for key, value in model.items() if key not in ("preset", REPLACE)}
    name = model["preset"]
    if name not in PRESETS:
        wrong = Mistake(("model", "preset"), f"unknown {name!r}; {suggest(str(name), PRESETS)}")
        raise all_mistakes([wrong], documents=layers.documents)
    try:
        merged: Plain = laid_over({"model": asdict(preset(name, CLASSES))}, {"model": own})["model"]
        return merged
    except ConfigError as error:
        wrong = Mistake(("model", "preset"), f"{name!r}: {error}")
        raise all_mistakes([wrong], documents=layers.documents) from error


def dump_recipe(recipe: Recipe) -> Plain:
    """Return plain data from which an equal recipe can be built."""
    plain: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe, mode="json")
    return plain


def identity(recipe: Recipe) -> Plain:
    """Return what differs from a run of all defaults, but for what changes nothing learned."""
    changed = delta(dump_recipe(Recipe(name="")), dump_recipe(recipe))
    return {key: value for key, value in changed.items() if key not in NO_IDENTITY}
