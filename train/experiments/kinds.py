"""Which kinds of step and of page there are: each is registered here, and nowhere else."""

from __future__ import annotations

from train.experiments.comparison import ComparisonPage
from train.experiments.data_steps import Mixtures, Soundscapes
from train.experiments.detect_steps import Detect
from train.experiments.export_steps import Export
from train.experiments.joint import JointPage
from train.experiments.jss import JSSPage
from train.experiments.label_steps import PseudoLabel
from train.experiments.mlfl import MLFLPage
from train.experiments.model_steps import Fit, Join
from train.experiments.same_clips import SameClips
from train.experiments.score_steps import Fuse, Score
from train.experiments.selection import FuseBest
from train.experiments.soft import SoftPage
from train.experiments.soft_steps import Floors, Recordings, ScoreFolds, SoftViews

STEPS = (
    Soundscapes,
    Mixtures,
    SameClips,
    Fit,
    Join,
    PseudoLabel,
    Score,
    Detect,
    Fuse,
    FuseBest,
    Export,
    Recordings,
    Floors,
    ScoreFolds,
    SoftViews,
)
PAGES = (ComparisonPage, JointPage, JSSPage, MLFLPage, SoftPage)
