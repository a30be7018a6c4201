"""What becomes of scores, and of sources that are lost."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from streamsed.bundle.manifest import Score, Seconds
from streamsed.config.strict import PositiveSeconds, Strict


class ClassOverride(Strict):
    """What replaces a class's entry in the bundle's manifest; what is not given stays.

    See :class:`streamsed.bundle.manifest.ClassPostprocessing` for the meaning of the others.

    Attributes:
        enabled: whether events of this class are published.
    """

    enabled: bool = True
    enter: Score | None = None
    exit: Score | None = None
    median_s: Seconds | None = None
    min_on_s: Seconds | None = None
    min_off_s: Seconds | None = None
    max_on_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None

    def replacements(self) -> dict[str, float | None]:
        """Return the given entries; ``max_on_s: null`` is given, and means no limit."""
        given = self.model_dump(exclude={"enabled"}, exclude_unset=True)
        return {key: v for key, v in given.items() if v is not None or key == "max_on_s"}


class DetectConfig(Strict):
    """How scores become events, on top of the bundle's manifest.

    Attributes:
        update_every_s: interval of update messages during an event; 0 for none.
        fusion_weights: weight by member of the bundle, in place of the manifest's.
        classes: replacements by class name.
    """

    update_every_s: Seconds = 0.0
    fusion_weights: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] | None = None
    classes: dict[str, ClassOverride] = Field(default_factory=dict)


class RetryConfig(Strict):
    """When a source that was lost is tried again.

    Attributes:
        first_s: delay before the first attempt; each further one waits twice as long. All are up
            to a quarter shorter or longer by chance.
        most_s: longest delay.
        healthy_s: a source that delivered audio for so long begins with ``first_s`` again.
    """

    first_s: PositiveSeconds = 1.0
    most_s: PositiveSeconds = 15.0
    healthy_s: PositiveSeconds = 30.0

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.first_s > self.most_s:
            raise ValueError(
                f"first_s {self.first_s:g} is more than most_s {self.most_s:g}; delays rise from "
                "the one to the other"
            )
        return self
