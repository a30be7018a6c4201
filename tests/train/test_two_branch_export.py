"""The joint framework's student as a member: the graph's scores and tags are the model's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from tests.train.test_models import audio
from tests.train.test_two_branch_models import student
from train.export import check_parity, export_step


def test_scores_and_running_tags_of_the_graph_are_the_models(tmp_path: Path) -> None:
    model, clip = student(), audio(40, batch=1)
    path = tmp_path / "student.onnx"
    member = export_step(model, path, name="student", tags=True)
    assert member.tags
    assert member.latency_frames == model.config.shift_frames
    assert check_parity(model, path, member, clip[0].numpy()) < 1e-4
    with torch.no_grad():
        expected = model.running_tags(clip)[0].numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    state = {s.name: np.zeros((1, *s.shape), np.float32) for s in member.states}
    tags = []
    for chunk in clip[0].numpy().reshape(-1, model.config.chunk_samples):
        results = session.run(None, {"chunk": chunk[None], **state})
        named = dict(zip([output.name for output in session.get_outputs()], results, strict=True))
        tags.append(named["tags"][0])
        state = {name: named[f"next_{name}"] for name in state}
    assert np.std(tags) > 0.01
    np.testing.assert_allclose(np.stack(tags), expected[: len(tags)], rtol=0, atol=1e-4)
