"""Bundles of foreign models: what streams through them is what the model gives window by window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from numpy.typing import NDArray
from onnx import TensorProto

from streamsed import Event, Stream
from streamsed.bundle import Bundle
from streamsed.bundle.making.labels import read_labels
from streamsed.bundle.making.log_mel import LogMel, read_log_mel
from streamsed.bundle.making.make import BundleRequest, MadeBundle, make_bundle
from streamsed.detect.engine import Engine
from streamsed.errors import ConfigError
from tests.bundle.foreign import (
    BANDS,
    FRAMES,
    WINDOW,
    bank,
    detector,
    detector_scores,
    mel_tagger,
    tagger,
    tagger_scores,
)
from tests.cli.command import execute

RATE = 16_000
LABELS = ("Dog", "Cat", "Vehicle horn, car horn")
HOP = WINDOW // 4
AUDIO = 0.3 * np.random.default_rng(3).standard_normal(6 * WINDOW).astype(np.float32)
STREAMS = 3  # together in a batch

Scores = NDArray[np.float32]


def made(model: Path, **changes: object) -> MadeBundle:
    settings = {
        "labels": LABELS,
        "output": model.with_name("bundle"),
        "window_s": WINDOW / RATE,
        "hop_s": HOP / RATE,
        "activation": "sigmoid",
    }
    return make_bundle(BundleRequest(model=model, **(settings | changes)))  # type: ignore[arg-type]


def refused(model: Path, **changes: object) -> str:
    with pytest.raises(ConfigError) as error:
        made(model, **changes)
    assert not model.with_name("bundle").exists(), "nothing is left of it"
    return str(error.value)


def streamed(bundle: Bundle) -> Scores:
    """Scores of the frames of AUDIO, in time, of the last of several streams in a batch."""
    engine = Engine(bundle, provider="cpu", max_batch=STREAMS)
    manifest = engine.manifest
    streams = len(engine.chunks)  # one, where a batch would change the last bits
    slots = [engine.open() for _ in range(streams)]
    steps = []
    for chunk in AUDIO.reshape(-1, manifest.chunk_samples):
        for row in range(streams):
            engine.chunks[row] = (row - streams + 2) * chunk
        engine.step(slots)
        steps.append(engine.scores("model")[streams - 1].copy())
    return np.concatenate(steps)[manifest.latency_frames :]


def windowed(scores_of: Callable[[Scores], Scores], *, frames_per_hop: int, ahead: int) -> Scores:
    """The slow way: for each hop the mean over the windows that end up to ``ahead`` hops later."""
    padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), AUDIO])
    hops = len(AUDIO) // HOP
    of_window = [scores_of(padded[n * HOP : n * HOP + WINDOW]) for n in range(hops)]
    means = []
    for hop in range(hops - ahead):
        parts = []
        for later in range(ahead + 1):
            scores = of_window[hop + later]
            if len(scores) > 1:
                end = len(scores) - later * frames_per_hop
                scores = scores[end - frames_per_hop : end]
            parts.append(scores)
        means.append(np.mean(parts, axis=0))
    return np.concatenate(means)


@pytest.mark.parametrize("look_ahead_s", [None, 0.0, HOP / RATE])
@pytest.mark.parametrize(
    "takes",
    [["B", WINDOW], ["B", "N"], [1, WINDOW], [1, 1, WINDOW], ["B", WINDOW, 1], [WINDOW], ["N"]],
)
def test_a_tagger_of_any_shape_is_the_mean_of_its_windows(
    tmp_path: Path, takes: list[int | str | None], look_ahead_s: float | None
) -> None:
    model = tagger(tmp_path / "model.onnx", takes=takes)
    result = made(model, look_ahead_s=look_ahead_s)
    ahead = {None: 3, 0.0: 0}.get(look_ahead_s, 1)
    assert result.bundle.manifest.latency_frames == ahead
    assert result.interface.single == (takes[0] != "B")
    expected = windowed(tagger_scores, frames_per_hop=1, ahead=ahead)
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=1e-5)


@pytest.mark.parametrize("batch", ["B", 1])
@pytest.mark.parametrize("classes_last", [True, False])
def test_a_detector_is_the_mean_of_its_overlapping_windows_frame_by_frame(
    tmp_path: Path, batch: int | str, classes_last: bool
) -> None:
    model = detector(tmp_path / "model.onnx", classes_last=classes_last, batch=batch)
    result = made(model)
    manifest = result.bundle.manifest
    assert manifest.frame_samples == WINDOW // FRAMES
    assert manifest.latency_frames == 15
    expected = windowed(detector_scores, frames_per_hop=FRAMES // 4, ahead=3)
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("takes", "frames_axis"),
    [
        (["B", 1, BANDS, "T"], 3),
        (["B", 1, "T", BANDS], 2),
        (["B", BANDS, "T"], 2),
        (["B", "T", BANDS], 1),
        ([1, BANDS, 11], 2),
    ],
)
@pytest.mark.parametrize("center", [True, False])
def test_log_mels_are_those_of_torchaudio(
    tmp_path: Path, takes: list[int | str | None], frames_axis: int, center: bool
) -> None:
    if takes[-1] == 11 and not center:
        pytest.skip("the model takes the frames of a centred transform")
    mel = LogMel(
        n_mels=BANDS,
        n_fft=256,
        win_length=200,
        hop_length=160,
        f_min=50.0,
        center=center,
        offset=1e-4,
        mean=-2.0,
        std=3.0,
    )
    model = mel_tagger(tmp_path / "model.onnx", takes=takes, frames_axis=frames_axis)
    transform = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=256, win_length=200, hop_length=160, f_min=50.0, n_mels=BANDS, center=center
    )

    def scores(window: Scores) -> Scores:
        power = transform(torch.from_numpy(np.ascontiguousarray(window))).numpy()
        features = (np.log(power + 1e-4) + 2.0) / 3.0
        return 1.0 / (1.0 + np.exp(-(features.mean(1) @ bank(BANDS))[None]))

    result = made(model, log_mel=mel)
    expected = windowed(scores, frames_per_hop=1, ahead=3)
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=2e-4)


@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_filters_are_those_of_torchaudio(norm: str | None, scale: str) -> None:
    mel = LogMel(n_mels=40, n_fft=1024, hop_length=320, f_max=7000.0, mel_scale=scale, norm=norm)  # type: ignore[arg-type]
    wanted = torchaudio.functional.melscale_fbanks(513, 0.0, 7000.0, 40, RATE, norm, scale)
    np.testing.assert_allclose(mel.filters(RATE), wanted.T, atol=1e-5)


def test_half_precision_and_old_opsets(tmp_path: Path) -> None:
    half = tagger(tmp_path / "model.onnx", takes=["B", WINDOW], dtype=TensorProto.FLOAT16)
    expected = windowed(tagger_scores, frames_per_hop=1, ahead=3)
    np.testing.assert_allclose(streamed(made(half).bundle), expected, atol=2e-2)
    old = tagger(tmp_path / "old.onnx", takes=["B", WINDOW], opset=9)
    result = made(old, output=tmp_path / "old")
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=1e-5)


def test_a_bundle_detects(tmp_path: Path) -> None:
    model = tagger(tmp_path / "model.onnx", takes=["B", WINDOW])
    result = made(model, postprocessing={"enter": 0.1, "exit": 0.1})
    loud = 3.0 * np.tile(bank(WINDOW)[:, 1], 6)
    events = [e for e in Stream(result.bundle).detect([loud]) if isinstance(e, Event)]
    assert "Cat" in {event.label for event in events}


def test_logits_and_probabilities_are_told_apart(tmp_path: Path) -> None:
    logits = tagger(tmp_path / "model.onnx", takes=["B", WINDOW])
    assert "--activation sigmoid" in refused(logits, activation="none")
    probabilities = tagger(tmp_path / "model.onnx", takes=["B", WINDOW], sigmoid=True)
    assert "--activation none" in refused(probabilities)
    result = made(probabilities, activation="none")
    expected = windowed(tagger_scores, frames_per_hop=1, ahead=3)
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=1e-5)


def test_what_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    model = tagger(tmp_path / "model.onnx", takes=["B", WINDOW])
    assert "2 labels" in refused(model, labels=LABELS[:2])
    assert f"takes {WINDOW}: --window 0.1 would be right" in refused(model, window_s=0.2)
    assert "--hop 0.025 or --hop 0.05 would be right" in refused(model, hop_s=0.04)
    assert "from 0 to 0.075 would be right" in refused(model, look_ahead_s=0.1)
    assert "no input 'mel'; there are audio" in refused(model, input="mel")
    assert "no output 'tags'; there are logits" in refused(model, scores="tags")
    free = tagger(tmp_path / "model.onnx", takes=["B", "N"])
    assert "--window SECONDS" in refused(free, window_s=None)
    assert "cannot be run on a window of 1000 samples" in refused(free, window_s=1000 / RATE)
    rank = tagger(tmp_path / "model.onnx", takes=["B", 2, "N"])
    assert "is (B, 2, N), and cannot be run" in refused(rank)
    frames = detector(tmp_path / "model.onnx", classes_last=True, batch="B")
    assert "--hop 0.005 or --hop 0.01" in refused(frames, hop_s=WINDOW / RATE / 32)
    fixed = tagger(tmp_path / "model.onnx", takes=[4, WINDOW])
    assert "is (4, 1600), and cannot be run" in refused(fixed)
    (tmp_path / "model.onnx").write_text("no model")
    assert "is no ONNX model" in refused(tmp_path / "model.onnx")
    assert "no such file" in refused(tmp_path / "nothing.onnx")
    whole = tagger(tmp_path / "model.onnx", takes=["B", WINDOW], embedding=True)
    made(whole)
    with pytest.raises(ConfigError, match="is there already"):
        made(whole)


def test_labels_from_every_kind_of_file(tmp_path: Path) -> None:
    text = tmp_path / "labels.txt"
    text.write_text("Dog\nCat\n\n", encoding="utf-8")
    assert read_labels(text) == ("Dog", "Cat")
    table = tmp_path / "labels.csv"
    table.write_text('index,mid,display_name\n0,/m/1,Speech\n1,/m/2,"Horn, car"\n', "utf-8")
    assert read_labels(table) == ("Speech", "Horn, car")
    listed = tmp_path / "labels.json"
    listed.write_text(json.dumps(["a", "b"]), encoding="utf-8")
    assert read_labels(listed) == ("a", "b")
    for content, problem in (
        ("Dog\nDog\n", "line 2: the label 'Dog' stands on line 1 already"),
        ("Dog\n\nCat\n", "line 2: a label is missing"),
        ("A/B\n", "line 1: the label is 'A/B'"),
        ("", "holds no label"),
    ):
        text.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=problem):
            read_labels(text)


def test_keys_of_the_front_end(tmp_path: Path) -> None:
    file = tmp_path / "mel.yaml"
    file.write_text("{n_mels: 64, n_fft: 512, hop_length: 160}\n", encoding="utf-8")
    assert read_log_mel(file) == LogMel(n_mels=64, n_fft=512, hop_length=160)
    file.write_text("{n_mels: 64, n_fft: 512, hop: 160}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="hop_length"):
        read_log_mel(file)


def test_the_commands(tmp_path: Path) -> None:
    model = tagger(tmp_path / "model.onnx", takes=["B", WINDOW], sigmoid=True)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    refusal = execute("check", "--bundle", model, cwd=tmp_path)
    assert (refusal.returncode, refusal.stdout) == (2, "")
    assert f"streamsed bundle make {model} --labels" in refusal.stderr
    output = tmp_path / "models" / "mine"
    wrapped = execute("bundle", "make", model, "--labels", "labels.txt", "-o", output, cwd=tmp_path)
    assert (wrapped.returncode, wrapped.stderr) == (0, "")
    assert "windows of 0.1 s every 0.05 s; self-test passed" in wrapped.stdout
    listed = execute("bundle", "list", cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "name",
        "mine",
        "domestic",
        "domestic-jss",
    ]
    shown = execute("bundle", "show", "mine", cwd=tmp_path)
    assert "look-ahead 0.05 s" in shown.stdout
    assert "Vehicle horn, car horn  0.5" in shown.stdout
    card = execute("bundle", "show", "mine", "--card", cwd=tmp_path)
    assert card.stdout == (output / "card.md").read_text(encoding="utf-8")
    (output / "model.onnx").write_bytes(b"")
    damaged = execute("bundle", "list", cwd=tmp_path)
    assert damaged.returncode == 0
    assert "model.onnx: is corrupt" in damaged.stderr


def test_a_model_that_cuts_windows_itself_gives_frames(tmp_path: Path) -> None:
    model = tagger(tmp_path / "model.onnx", takes=["B", "N"])
    result = made(model, window_s=2 * WINDOW / RATE, hop_s=2 * WINDOW / RATE)
    assert (result.interface.frames, result.interface.single) == (2, True)
    expected = np.concatenate([tagger_scores(w) for w in AUDIO.reshape(-1, WINDOW)])
    np.testing.assert_allclose(streamed(result.bundle), expected, atol=1e-5)
