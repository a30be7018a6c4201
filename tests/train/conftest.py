"""What holds for the tests of training."""

import os

import torch

from train.places import CACHE

# Simulated rooms and the like stay from one run of the tests to the next.
os.environ.setdefault(CACHE, ".cache")

# Tiny tensors gain nothing from threads, and on a busy machine they wait for one another: the
# tests of windowed models take twenty times as long with two.
torch.set_num_threads(1)
