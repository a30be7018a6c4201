"""What bundles of soft labels are fitted to and reported on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from streamsed.bundle import load
from tests.train.kinds_of_data import small_recipe
from tests.train.soft_set import SCENES, write_soft_set
from train.checkpoint import Checkpoint
from train.data.desed import read_desed
from train.data.events import Event
from train.data.hard_view import hard_events, hard_view
from train.data.maestro import ANNOTATED, read_maestro
from train.ensemble import Ensemble, EnsembleMember
from train.held_out import HeldOut
from train.models.global_attention import GlobalAttention, GlobalAttentionConfig
from train.models.soft_crnn import BranchConfig


def test_events_of_soft_labels_are_what_reaches_a_half() -> None:
    labels = (
        Event("a", 0.0, 1.0, 0.4),
        Event("a", 1.0, 2.0, 0.5),
        Event("a", 2.0, 3.0, 0.9),
        Event("b", 2.0, 3.0, 0.6),
        Event("a", 4.0, 5.0, 1.0),
    )
    assert hard_events(labels) == (
        Event("a", 1.0, 3.0), Event("b", 2.0, 3.0), Event("a", 4.0, 5.0),
    )  # fmt: skip


def test_a_fold_is_fitted_and_reported_on_as_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSED_CACHE", str(tmp_path / "cache"))
    root = write_soft_set(tmp_path / "set")
    classes = ("Speech", "Frying")
    options = {"classes": classes, "scenes": tuple(SCENES)}
    for _ in range(2):  # the second time over what is there
        view = hard_view(root, fold=2, cache=tmp_path / "cache", **options)
        for part, name in (("strong_validation", "val"), ("validation", "test")):
            soft = read_maestro(root, fold=2, part=name, **options)  # type: ignore[arg-type]
            hard = read_desed(view, part, classes=classes)  # type: ignore[arg-type]
            wanted = {clip.path.name: hard_events(clip.events or ()) for clip in soft.clips}
            assert {clip.name: clip.events for clip in hard.clips} == wanted
    held_out = HeldOut(small_recipe("soft"), root)
    windows, _ = held_out.windows()
    assert windows is not None
    assert set(windows) == set(classes)
    assert "--ground-truth" in held_out.command(Path("slow"))


@pytest.mark.slow
def test_a_causal_network_of_maestros_classes_makes_a_bundle_of_whole_seconds(
    tmp_path: Path,
) -> None:
    """Front end, past and classes of the paper's size, narrow branches; keys kept as state."""
    torch.manual_seed(3)
    narrow = BranchConfig((4, 8), (5, 4), 8)
    config = GlobalAttentionConfig(
        ANNOTATED, local=narrow, context=narrow, before=40, after=0, causal=True
    )
    model = GlobalAttention(config).eval()
    with torch.no_grad():
        model.head.weight.mul_(6.0)
    member = EnsembleMember("causal", Checkpoint(model, 1), 1.0, None)
    _, differences = Ensemble((member,)).write(tmp_path / "slow", (0,))
    assert differences["causal"] < 1e-4
    manifest = load(tmp_path / "slow").manifest
    assert (manifest.frame_s, manifest.frames_per_chunk, manifest.latency_frames) == (1.0, 1, 0)
    assert "door opens-closes" in manifest.classes
    kept = {state.name: state.shape for state in manifest.members[0].states}
    assert kept["keys"] == (40, config.attention_units)
    assert kept["values"] == (40, narrow.rnn_units)
