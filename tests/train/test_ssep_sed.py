"""The challenge's baseline: two branches, what learns of them, and their weight."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.train.tiny_joint import joint_model
from train.checkpoint import load_model, save_model
from train.cli import app
from train.models.ssep_sed import SSepSED, SSepSEDConfig


def baseline(sed: str = "causal", norm: str = "cumulative") -> SSepSED:
    joint = joint_model(sed, norm)  # type: ignore[arg-type]
    joined = {f.name: getattr(joint.config, f.name) for f in fields(joint.config)}
    config = SSepSEDConfig(**{**joined, "kind": "ssep_sed"})
    model = SSepSED(config, separator=joint.separator, sed=joint.sed).eval()
    with torch.no_grad():
        model.balance.fill_(0.7)
        for parameter in model.sed.parameters():
            parameter.mul_(0.9)  # so that the two detectors differ
    return model


@pytest.fixture
def audio() -> Tensor:
    return 0.1 * torch.randn(2, 16 * 1024, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("sed", "norm"), [("causal", "cumulative"), ("crnn2021", "global")])
@torch.no_grad()
def test_probabilities_of_sources_are_summed_and_weighed_with_the_mixture_s(
    sed: str, norm: str, audio: Tensor
) -> None:
    model = baseline(sed, norm)
    count = model.config.separator.sources
    sources = model.separator(audio)
    each = [model.sed.detect(sources[:, i]) for i in range(count)]
    mixture = model.mixture_sed.detect(audio)
    weight = 1.0 / (1.0 + torch.exp(torch.tensor(-0.7)))
    found = model.detect(audio)
    summed = torch.stack([torch.sigmoid(of.frames) for of in each]).sum(0)
    expected = weight * torch.sigmoid(mixture.frames) + (1 - weight) * summed.clamp(0.0, 1.0)
    torch.testing.assert_close(torch.sigmoid(found.frames), expected, atol=1e-5, rtol=1e-4)
    assert summed.max() > 1.0, "or nothing was clamped"
    if mixture.clip is not None:
        tags = torch.stack([of.clip for of in each if of.clip is not None]).sum(0).clamp(0.0, 1.0)
        expected = weight * mixture.clip + (1 - weight) * tags
        torch.testing.assert_close(found.clip, expected, atol=1e-5, rtol=1e-4)


def test_the_sources_detector_and_the_weight_learn_and_nothing_else(audio: Tensor) -> None:
    model = baseline("crnn2021", "global")
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    model.train()
    for _ in range(2):
        optimiser.zero_grad()
        target = torch.zeros_like(frames := model.detect(audio).frames)
        torch.nn.functional.binary_cross_entropy_with_logits(frames, target).backward()
        optimiser.step()
    changed = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"sed", "balance"}


@pytest.mark.parametrize("norm", ["cumulative", "global"])
@torch.no_grad()
def test_a_stream_is_scored_as_its_clip(norm: str, audio: Tensor) -> None:
    model = baseline("causal" if norm == "cumulative" else "crnn2021", norm)
    step, expected = model.step(), model.scores(audio)
    state, scores = step.initial_state(2), []
    size = model.config.chunk_samples
    padded = torch.nn.functional.pad(audio, (0, 4 * size + step.latency_frames * 1024))
    for first in range(0, padded.shape[1] - size + 1, size):
        out, *state = step(padded[:, first : first + size], *state)  # type: ignore[assignment]
        scores.append(out)
    streamed = torch.cat(scores, 1)[:, step.latency_frames :][:, : expected.shape[1]]
    torch.testing.assert_close(streamed, expected, atol=1e-4, rtol=1e-3)


def test_the_command_makes_it(tmp_path: Path) -> None:
    joint = joint_model("crnn2021", "global")
    save_model(tmp_path / "separator.pt", joint.separator, step=1)
    save_model(tmp_path / "sed.pt", joint.sed, step=2)
    files = [str(tmp_path / name) for name in ("separator.pt", "sed.pt")]
    command = ["join", *files, "-o", str(tmp_path / "s0.pt"), "--into", "ssep_sed"]
    assert CliRunner().invoke(app, command).exit_code == 0
    made = load_model(tmp_path / "s0.pt").model
    assert isinstance(made, SSepSED)
    assert replace(made.config, source_norm="source") == made.config
    torch.testing.assert_close(made.mixture_sed.state_dict(), joint.sed.state_dict())
    torch.testing.assert_close(made.sed.state_dict(), joint.sed.state_dict())
