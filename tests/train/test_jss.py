"""Joint models: whose scores count, what a frozen half keeps, and how sources are scaled."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.train.test_conv_tasnet import audio, small_config
from tests.train.tiny_joint import Copies, joint_model
from tests.train.tiny_models import KINDS, crnn2021_config, tiny_model
from train.frontend import LogMel
from train.models.jss import JSS, JSSConfig
from train.models.model import Given, Output, SoundEventModel, Step
from train.models.registry import build, parse_network_config

Norm = Literal["source", "mixture"]


def joined(separator: nn.Module, sed: SoundEventModel, source_norm: Norm = "source") -> JSS:
    config = JSSConfig(sed=sed.config, separator=separator.config, source_norm=source_norm)  # type: ignore[arg-type]
    return JSS(config, separator=separator, sed=sed).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source_norm", ["source", "mixture"])
@torch.no_grad()
def test_with_identical_sources_it_is_its_detector(kind: str, source_norm: Norm) -> None:
    sed = tiny_model(kind)
    model = joined(Copies(), sed, source_norm)
    clips = audio(2, 8 * 4096) * 0.1
    padding = torch.arange(clips.shape[1] // sed.config.frame_samples)[None] >= torch.tensor(
        [[6], [99]]
    )
    expected = sed.detect(clips, padding)
    output = model.detect(clips, padding)
    torch.testing.assert_close(output.frames, expected.frames, rtol=0, atol=1e-5)
    assert output.clip is not None
    assert expected.clip is not None
    torch.testing.assert_close(output.clip, expected.clip, rtol=0, atol=1e-5)


class Loudness(SoundEventModel):
    """Finds one class the more, the more a frame's features are."""

    def __init__(self) -> None:
        super().__init__()
        self.config = replace(crnn2021_config(), classes=("sound",))
        self.front_end = LogMel(self.config.front_end)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        assert padding is None
        assert given is None
        level = features.mean(dim=2, keepdim=True)
        pooled = F.avg_pool1d(level.transpose(1, 2), 4).transpose(1, 2)
        return Output(pooled, torch.sigmoid(pooled.amax(dim=1)))

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        raise NotImplementedError

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        raise NotImplementedError


@torch.no_grad()
def test_silent_sources_change_nothing_if_the_mixture_scales_them() -> None:
    """Scaled by themselves, sources 60 dB below the mixture are detected before it is."""
    clips = torch.zeros(1, 16384)
    clips[:, 6000:9000] = torch.sin(torch.arange(3000) * 0.3) * 0.5
    clips += 1e-3 * audio(1, 16384, seed=2)
    silent = torch.stack([torch.zeros_like(clips), 5e-4 * audio(1, 16384, seed=3)], dim=1)
    sed = Loudness()
    alone = sed.detect(clips)
    by_mixture = joined(Copies(silent), sed, "mixture").detect(clips)
    torch.testing.assert_close(by_mixture.clip, alone.clip)
    torch.testing.assert_close(by_mixture.frames[:, 6:8], alone.frames[:, 6:8])
    by_source = joined(Copies(silent), sed, "source").detect(clips)
    assert by_source.frames.mean() > alone.frames.mean() + 0.2
    digital = joined(Copies(torch.zeros(1, 2, 16384)), sed, "mixture").detect(clips)
    torch.testing.assert_close(digital.frames, alone.frames)


@torch.no_grad()
def test_the_highest_score_of_any_source_counts() -> None:
    sed = tiny_model("causal")
    clips, other = audio(2, 16384) * 0.1, audio(2, 16384, seed=9) * 0.3
    output = joined(Copies(other[:, None]), sed).detect(clips)
    each = [sed.detect(part).frames for part in (clips, other)]
    torch.testing.assert_close(output.frames, torch.maximum(*each), rtol=0, atol=1e-5)


def test_gradients_reach_the_separator_and_are_finite_at_silence() -> None:
    for sed in ("causal", "crnn2021"):
        model = joint_model(sed, "global")
        clips = audio(2, 16384) * 0.1
        clips[1] = 0.0
        model.detect(clips).frames.square().sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), name
        assert model.separator.encoder.weight.grad is not None
        assert model.separator.encoder.weight.grad.any()


@pytest.mark.parametrize(
    ("frozen", "moving"),
    [("separator", ["sed"]), ("sed", ["separator"]), (None, ["separator", "sed"])],
)
def test_a_frozen_half_stays_as_it_is_to_the_bit(frozen: object, moving: list[str]) -> None:
    """Weights, and what batch normalisation remembers; with a weight decay, too."""
    model = joint_model("crnn2021", "global").train()
    model.freeze(frozen)  # type: ignore[arg-type]
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for seed in (1, 2):
        model.train()
        optimiser.zero_grad()
        output = model.detect(audio(2, 16384, seed=seed) * 0.1)
        assert output.clip is not None
        (output.frames.square().sum() + output.clip.sum()).backward()
        optimiser.step()
    changed = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == set(moving)
    if frozen == "sed":
        running = [name for name in before if "running_mean" in name]
        assert running
        first, second = (model.detect(audio(2, 16384) * 0.1).frames for _ in range(2))
        assert torch.equal(first, second)  # no dropout either


def test_a_configuration_of_plain_data_rebuilds_it() -> None:
    model = joint_model("crnn2021")
    config = parse_network_config(asdict(model.config))
    assert config == model.config
    built = build(config)
    built.load_state_dict(model.state_dict())
    assert isinstance(built, JSS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate": 8000}, "8000 Hz"),
        ({"kernel_samples": 48, "stride_samples": 24}, "stride of 24"),
        ({"kernel_samples": 2048, "stride_samples": 512}, "1536 samples late"),
    ],
)
def test_halves_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JSSConfig(sed=crnn2021_config(), separator=small_config(**changes))
