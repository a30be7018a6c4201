"""Separated recordings: files that can be listened to and looked at, whatever the length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.test_conv_tasnet import small
from tests.train.tiny_joint import joint_model
from tests.train.tiny_models import tiny_model
from train.checkpoint import save_model
from train.cli import app
from train.separation import recordings
from train.separation.recordings import separate_recording


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(2).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("norm", ["global", "cumulative"])
@pytest.mark.parametrize("samples", [4003, 3200, 1601, 1600, 5])
def test_blocks_give_the_sources_of_the_whole(
    norm: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "BLOCK_S", 0.1)
    separator, audio = small(norm=norm), noise(samples)
    with torch.no_grad():
        whole = separator(torch.from_numpy(audio)[None])[0].numpy()
    np.testing.assert_allclose(separate_recording(separator, audio), whole, rtol=0, atol=1e-5)


def test_sources_are_written_and_pictured(tmp_path: Path) -> None:
    save_model(tmp_path / "separator.pt", small(norm="cumulative", consistent=True), step=1)
    save_model(tmp_path / "joint.pt", joint_model("causal"), step=1)
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.wav", noise(20_000), 16000)
    files = [str(tmp_path / "one.wav"), str(tmp_path / "two.wav")]
    for checkpoint, count in (("separator.pt", 4), ("joint.pt", 3)):
        output = tmp_path / f"out-{count}"
        command = ["separate", str(tmp_path / checkpoint), *files, "-o", str(output)]
        done = CliRunner().invoke(app, [*command, "--longest", "1"])
        assert done.exit_code == 0, done.output
        assert "one.wav" in done.output
        for name in ("one", "two"):
            read = {
                path.stem: soundfile.read(path, dtype="float32")[0]
                for path in (output / name).glob("*.wav")
            }
            assert read.keys() == {"mixture", *(f"source{i}" for i in range(count))}
            assert {len(samples) for samples in read.values()} == {16_000}
            picture = (output / name / "spectrograms.png").read_bytes()
            assert picture.startswith(b"\x89PNG")
            if checkpoint == "separator.pt":
                total = sum(samples for key, samples in read.items() if key != "mixture")
                np.testing.assert_allclose(total, read["mixture"], atol=1e-5)


def test_mistakes_are_said_in_a_line(tmp_path: Path) -> None:
    save_model(tmp_path / "sed.pt", tiny_model("causal"), step=1)
    save_model(tmp_path / "separator.pt", small(), step=1)
    soundfile.write(tmp_path / "a.wav", noise(2000), 16000)
    soundfile.write(tmp_path / "empty.wav", noise(0), 16000)
    for checkpoint, files, message in (
        ("sed.pt", ["a.wav"], "separates nothing"),
        ("none.pt", ["a.wav"], "no such checkpoint"),
        ("separator.pt", ["a.wav", "a.wav"], "one name"),
        ("separator.pt", ["empty.wav"], "no samples"),
    ):
        command = ["separate", str(tmp_path / checkpoint), *(str(tmp_path / f) for f in files)]
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out")])
        assert isinstance(done.exception, ConfigError)
        assert message in str(done.exception)
