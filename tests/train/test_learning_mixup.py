"""Mixup: who is mixed with whom, and that inputs and labels are mixed alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.stage_run import targets
from train.augment.mixup import MixupConfig, Partners, draw_partners, mix
from train.data.batches import Batch

ROWS = {
    "strong": slice(0, 3),
    "weak": slice(3, 6),
    "unlabelled": slice(6, 8),
    "strong_real": slice(8, 10),
}


def batch() -> Batch[Tensor]:
    rng = torch.Generator().manual_seed(1)
    return Batch(
        inputs=torch.rand(10, 6, 4, generator=rng),
        targets=targets(
            torch.rand(10, 3, 2, generator=rng).round(),
            torch.rand(10, 2, generator=rng).round(),
            has_strong=torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 1, 1], dtype=torch.bool),
            has_weak=torch.tensor([1, 1, 1, 1, 1, 1, 0, 0, 1, 1], dtype=torch.bool),
        ),
        frames=torch.tensor([3, 2, 3, 1, 3, 3, 3, 3, 2, 3]),
        rows=ROWS,
        names=tuple("abcdefghij"),
        step=0,
    )


def draws(probability: float = 1.0, count: int = 200) -> list[Partners | None]:
    config = MixupConfig(probability=probability)
    return [draw_partners(ROWS, config, np.random.default_rng(seed)) for seed in range(count)]


def test_only_rows_of_a_group_are_mixed_and_by_one_share() -> None:
    groups = [{0, 1, 2, 8, 9}, {3, 4, 5}]
    for partners in draws():
        assert partners is not None
        index, share = partners.index.tolist(), partners.share
        for group in groups:
            rows = sorted(group)
            assert {index[row] for row in rows} == group
            assert len(set(share[rows].tolist())) == 1
        assert index[6:8] == [6, 7]
        assert share[6:8].tolist() == [1.0, 1.0]


def test_the_groups_have_each_their_own_share() -> None:
    assert any(p is not None and p.share[0] != p.share[3] for p in draws(count=3))


def test_one_coin_decides_for_all() -> None:
    mixed = sum(partners is not None for partners in draws(0.5, 1000))
    assert 430 < mixed < 570
    assert not any(draws(0.0))


def test_shares_are_of_the_beta_distribution() -> None:
    shares = np.array([p.share[0].item() for p in draws(count=2000) if p is not None])
    # Beta(0.2, 0.2): mean 1/2, variance 1 / (4 (2 * 0.2 + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / 5.6, abs=0.02)


def test_inputs_and_labels_are_mixed_alike() -> None:
    before = batch()
    index, share = torch.arange(10), torch.ones(10)
    index[0], index[1], share[0], share[1] = 1, 0, 0.25, 0.25
    after = mix(before, Partners(index, share), labels="soft")
    torch.testing.assert_close(after.inputs[0], 0.25 * before.inputs[0] + 0.75 * before.inputs[1])
    torch.testing.assert_close(
        after.targets["strong"].values[0],
        0.25 * before.targets["strong"].values[0] + 0.75 * before.targets["strong"].values[1],
    )
    torch.testing.assert_close(
        after.targets["weak"].values[1],
        0.25 * before.targets["weak"].values[1] + 0.75 * before.targets["weak"].values[0],
    )
    assert after.frames[:2].tolist() == [3, 3]
    for name in ("inputs", "frames"):
        assert torch.equal(getattr(after, name)[2:], getattr(before, name)[2:])
    for name, target in after.targets.items():
        assert torch.equal(target.values[2:], before.targets[name].values[2:])
        assert torch.equal(target.known, before.targets[name].known)


def test_of_a_pair_no_more_is_known_than_of_both() -> None:
    before = batch()
    strong = before.targets["strong"]
    frames = torch.ones(10, 3, dtype=torch.bool)
    frames[1, 2] = False
    pseudo = replace(strong, frames=frames, source="pseudo.tsv")
    index, share = torch.arange(10), torch.ones(10)
    index[0], index[3] = 1, 2  # row 3 has tags alone, row 2 events
    share[0], share[3] = 0.5, 0.5
    partners = Partners(index, share)
    after = mix(replace(before, targets={**before.targets, "pseudo": pseudo}), partners,
                labels="hard")  # fmt: skip
    assert after.targets["strong"].known.tolist() == strong.known.tolist()
    assert not after.targets["strong"].known[3]
    assert after.targets["weak"].known[3]
    mixed = after.targets["pseudo"]
    assert mixed.frames is not None
    assert mixed.frames[0].tolist() == [True, True, False]
    assert mixed.source == "pseudo.tsv"


def test_groups_may_be_chosen() -> None:
    config = MixupConfig(probability=1.0, groups=(("strong", "weak"),))
    partners = draw_partners(ROWS, config, np.random.default_rng(1))
    assert partners is not None
    assert set(partners.index[:6].tolist()) == set(range(6))
    assert partners.index[6:].tolist() == [6, 7, 8, 9]


def test_hard_labels_are_those_of_both() -> None:
    before = batch()
    index = torch.arange(10)
    index[3], index[4] = 4, 3
    share = torch.ones(10)
    share[3:5] = 0.9
    after = mix(before, Partners(index, share), labels="hard")
    torch.testing.assert_close(
        after.targets["weak"].values[3],
        torch.maximum(before.targets["weak"].values[3], before.targets["weak"].values[4]),
    )


@pytest.mark.parametrize("wrong", [{"probability": 1.5}, {"alpha": 0.0}])
def test_wrong_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MixupConfig(**wrong)  # type: ignore[arg-type]
