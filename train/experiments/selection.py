"""The mean of the best of several systems, ranked on a part that is not reported on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from train.experiments.score_steps import ScoreFile, Scoring, fused, read_scored
from train.experiments.step import Need, Place


@dataclass(frozen=True, kw_only=True)
class FuseBest(Scoring):
    """The weighted mean of the scores of the systems that rank highest.

    A system's rank is that of the sum of its two PSDS.

    Attributes:
        systems: the steps that score what is fused, each with the step that scores the same
            checkpoint on the part that systems are ranked on.
        weights: of the systems from the highest rank on; as many are fused.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    systems: dict[str, str]
    weights: tuple[Annotated[float, Field(gt=0.0)], ...]
    kind: Literal["fuse_best"] = "fuse_best"

    def __post_init__(self) -> None:
        if not 0 < len(self.weights) <= len(self.systems):
            raise ValueError(
                f"weights has {len(self.weights)} entries for {len(self.systems)} systems; "
                "must have one or more, and no more than there are systems"
            )

    def needs(self) -> Mapping[str, Need]:
        """Return all scores, those on either part, and the data set."""
        needs = {"data": Need("data", self.data)}
        for of, ranked_by in self.systems.items():
            needs[f"scores.{of}"] = Need("scores", of)
            needs[f"ranked.{of}"] = Need("figures", f"{ranked_by}/figures")
        return needs

    def run(self, at: Place) -> bool:
        """Rank the systems, and fuse the first."""

        def rank(of: str) -> float:
            reached = read_scored(at.needs[f"ranked.{of}"].parent).reached
            return reached.psds1 + reached.psds2

        best = sorted(self.systems, key=rank, reverse=True)[: len(self.weights)]
        parts = {of: ScoreFile.load(at.needs[f"scores.{of}"]) for of in best}
        mean = fused(parts, dict(zip(best, self.weights, strict=True)))
        scored = [read_scored(at.needs[f"scores.{of}"].parent) for of in best]
        clips = self.clips(at, mean.classes)
        return self._keep(at, mean, clips, parameters=sum(of.parameters for of in scored))
