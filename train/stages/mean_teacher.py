"""The mean teacher (Tarvainen and Valpola 2017), as the DCASE 2021 task 4 baseline has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from train.data.batches import Batch
from train.engine.networks import Networks
from train.engine.schedules import At, Ramp, Schedule
from train.engine.stage import Terms
from train.losses.detection import strong_consistency, weak_consistency
from train.stages.detection import STUDENT, TEACHER, Detection, DetectionConfig
from train.stages.registry import STAGES, AverageConfig


@dataclass(frozen=True)
class MeanTeacherConfig(DetectionConfig):
    """Options of :class:`MeanTeacher`.

    Attributes:
        teacher: the average of the student's weights.
        consistency: weight of the squared differences of student and teacher, of frames and of
            clips.
    """

    teacher: AverageConfig = field(default_factory=AverageConfig)
    consistency: Ramp = field(default_factory=Ramp)
    kind: Literal["mean_teacher"] = "mean_teacher"


@STAGES.register(MeanTeacherConfig)
class MeanTeacher(Detection):
    """What labels give, and all rows' squared differences to the teacher.

    The teacher is run on the same features, dropout and batch statistics included.
    """

    averages_run = True

    def schedules(self) -> dict[str, Schedule]:
        """Return the weight of consistency."""
        config = self.recipe.stage
        assert isinstance(config, MeanTeacherConfig)
        return {"consistency": config.consistency}

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the cross-entropies and the differences; see the base class."""
        batch, padding = self.prepare(batch, networks, at)
        student = self.run(networks, STUDENT, batch, padding)
        teacher = self.run(networks, TEACHER, batch, padding)
        terms, weight = self.labelled_terms(student, batch), at.weight("consistency")
        terms["strong_consistency"] = weight * strong_consistency(student.frames, teacher.frames)
        if student.clip is not None and teacher.clip is not None:
            terms["weak_consistency"] = weight * weak_consistency(student.clip, teacher.clip)
        return terms
