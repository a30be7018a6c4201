"""Which kinds of step and of page there are: each is registered here, and nowhere else."""

from __future__ import annotations

from train.experiments.comparison import ComparisonPage
from train.experiments.data_steps import Mixtures, Soundscapes
from train.experiments.jss import JSSPage
from train.experiments.model_steps import Fit, Join
from train.experiments.score_steps import Fuse, Score

STEPS = (Soundscapes, Mixtures, Fit, Join, Score, Fuse)
PAGES = (ComparisonPage, JSSPage)
