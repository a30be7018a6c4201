"""Schedules against the formulas written out."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from train.engine.schedules import Approach, ramp, teacher_decay, warmup_cosine


def test_the_ramp_rises_from_e_to_the_minus_five_to_one() -> None:
    assert ramp(0, 5900) == pytest.approx(0.006738, abs=1e-6)
    assert ramp(2950, 5900) == pytest.approx(math.exp(-1.25))
    assert ramp(5900, 5900) == ramp(10**6, 5900) == 1.0
    values = [ramp(k, 100) for k in range(102)]
    assert all(a < b for a, b in pairwise(values[:101]))


def test_no_ramp_is_all_at_once() -> None:
    assert ramp(1, 0) == 1.0


def test_the_teacher_is_first_a_mean_then_an_average_of_fixed_length() -> None:
    assert [teacher_decay(k) for k in (1, 2, 3)] == pytest.approx([1 / 2, 2 / 3, 3 / 4])
    assert teacher_decay(998) < teacher_decay(999) == teacher_decay(10**6) == 0.999
    assert teacher_decay(100, 0.9) == 0.9


def test_warmup_and_cosine_rise_in_a_line_and_fall_as_half_a_cosine() -> None:
    found = [warmup_cosine(k, warmup=8, steps=40) for k in range(1, 42)]
    assert found[:8] == pytest.approx([(k + 1) / 8 for k in range(8)])
    expected = [0.5 * (1 + math.cos(math.pi * k / 32)) for k in range(33)]
    assert found[8:] == pytest.approx(expected)
    assert found[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 10), (10, 10), (0, 1)])
def test_warmup_and_cosine_stay_within_bounds(warmup: int, steps: int) -> None:
    shares = [warmup_cosine(k, warmup=warmup, steps=steps) for k in range(1, steps + 1)]
    assert all(0.0 < share <= 1.0 for share in shares)


def test_an_approach_is_nothing_until_it_starts_and_nears_its_weight() -> None:
    late = Approach(weight=2.0, start_epochs=5.0, base=0.9)
    weights = [late.weight_at(10 * epoch, epoch_steps=10) for epoch in (1, 5, 6, 8)]
    assert weights == pytest.approx([0.0, 0.0, 2.0 * 0.1, 2.0 * (1 - 0.9**3)])
    assert Approach().weight_at(1, epoch_steps=10) == 1.0
    with pytest.raises(ValueError, match="below 1"):
        Approach(base=1.0)
