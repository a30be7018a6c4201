"""Scenes: repeatable, of one split, and exact in what sounds when."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.train.tiny_bank import BURST_S, write_bank
from train.data.activity import envelope_db
from train.data.bank import Bank, Clip
from train.data.classes import CLASSES
from train.data.soundscape import ClassSpec, SoundscapeConfig, SoundscapeGenerator

SMALL = SoundscapeConfig(duration_s=4.0, simulated_rooms=4, room_places=2)
ONLY = {label: ClassSpec(weight=0.0, synthetic_share=0.0) for label in CLASSES}
PLAIN = SoundscapeConfig(  # a perfect device in an anechoic room
    duration_s=4.0,
    simulated_rooms=1,
    room_places=1,
    sources=(0.0, 1.0),
    distractors=(1.0,),
    bed_silence=1.0,
    silent_bed_db=(40.0, 40.0),
    snr_db=(10.0, 10.0),
    gain_ramp=0.0,
    reverberant=0.0,
    source_equaliser_db=0.0,
    source_low_pass=0.0,
    device_equaliser_db=0.0,
    device_low_pass=0.0,
    device_high_pass=0.0,
    device_noise=0.0,
    companded=0.0,
    clipped=0.0,
    silent_edge=0.0,
    plans=ONLY | {"Speech": ClassSpec(again=0.0, speed=(1.0, 1.0))},
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank.open(write_bank(tmp_path_factory.mktemp("bank")))


@pytest.fixture(scope="module")
def generator(bank: Bank) -> SoundscapeGenerator:
    return SoundscapeGenerator(bank, split="train", config=SMALL, seed=5)


def test_scenes_keep_their_promises(generator: SoundscapeGenerator) -> None:
    sounding, empty = set(), 0
    for index in range(60):
        scene = generator.generate(index)
        assert scene.audio.dtype == np.float32
        assert scene.audio.shape == (64_000,)
        assert np.isfinite(scene.audio).all()
        assert np.abs(scene.audio).max() <= 1.0
        onsets = [event.onset_s for event in scene.events]
        assert onsets == sorted(onsets)
        end: dict[str, float] = {}
        for event in scene.events:
            assert event.offset_s <= 4.0
            assert event.onset_s > end.get(event.label, -1.0)
            end[event.label] = event.offset_s
        sounding |= set(end)
        empty += not end
    # What the tiny bank has, and what is synthesised.
    assert sounding == {
        "Speech", "Frying", "Alarm_bell_ringing", "Blender", "Electric_shaver_toothbrush",
        "Vacuum_cleaner",
    }  # fmt: skip
    assert 1 <= empty <= 25


def test_a_scene_depends_on_seed_and_index_alone(
    bank: Bank, generator: SoundscapeGenerator
) -> None:
    again = SoundscapeGenerator(bank, split="train", config=SMALL, seed=5)
    other = SoundscapeGenerator(bank, split="train", config=SMALL, seed=6)
    for index in (9, 2, 7, 2):
        a, b = generator.generate(index), again.generate(index)
        np.testing.assert_array_equal(a.audio, b.audio)
        assert a.events == b.events
        assert not np.array_equal(a.audio, other.generate(index).audio)
    assert len({generator.generate(index).audio.tobytes() for index in range(8)}) == 8


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_hears_nothing_of_the_other(
    bank: Bank, split: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[Clip] = set()
    samples = Bank.samples

    def spied(self: Bank, clip: Clip, start: int = 0, stop: int | None = None) -> Any:
        used.add(clip)
        return samples(self, clip, start, stop)

    monkeypatch.setattr(Bank, "samples", spied)
    generator = SoundscapeGenerator(bank, split=split, config=SMALL, seed=1)
    for index in range(20):
        generator.generate(index)
    assert {clip.split for clip in used} == {split}
    assert {clip.kind for clip in used} >= {"foreground", "distractor", "background"}


def test_labels_stand_where_the_sound_stands(bank: Bank) -> None:
    generator = SoundscapeGenerator(bank, split="train", config=PLAIN, seed=3)
    whole = 0
    for index in range(25):
        scene = generator.generate(index)
        (event,) = scene.events
        assert event.label == "Speech"
        loud = np.flatnonzero((level := envelope_db(scene.audio, 16_000)) > level.max() - 20.0)
        assert loud[0] / 100 == pytest.approx(event.onset_s, abs=0.025)
        assert (loud[-1] + 1) / 100 == pytest.approx(event.offset_s, abs=0.025)
        if event.onset_s > 0.0 and event.offset_s < 4.0:
            assert event.offset_s - event.onset_s == pytest.approx(
                BURST_S[1] - BURST_S[0], abs=0.04
            )
            whole += 1
    assert whole > 10


def test_a_room_does_not_move_onsets(bank: Bank) -> None:
    config = dataclasses.replace(PLAIN, reverberant=1.0, simulated_rooms=8)
    generator = SoundscapeGenerator(bank, split="train", config=config, seed=3)
    for index in range(25):
        scene = generator.generate(index)
        (event,) = scene.events
        level = envelope_db(scene.audio, 16_000)
        onset = np.flatnonzero(level > level.max() - 15.0)[0] / 100
        assert onset == pytest.approx(event.onset_s, abs=0.035)


def test_sources_stand_above_the_bed_by_the_ratio_asked_for(bank: Bank) -> None:
    config = dataclasses.replace(PLAIN, silent_bed_db=(0.0, 0.0), snr_db=(12.0, 12.0))
    generator = SoundscapeGenerator(bank, split="train", config=config, seed=4)
    ratios = []
    for index in range(20):
        scene = generator.generate(index)
        (event,) = scene.events
        level = envelope_db(scene.audio, 16_000)
        first, last = int(event.onset_s * 100) + 3, int(event.offset_s * 100) - 3
        bed = np.delete(level, np.arange(max(first - 6, 0), last + 6))
        power_db = 10 * np.log10(np.mean(10 ** (level[first:last] / 10)))
        ratios.append(power_db - 10 * np.log10(np.mean(10 ** (bed / 10))))
    # The source's own 12 dB, and the bed that lies under it.
    assert np.median(ratios) == pytest.approx(12.3, abs=0.7)


def test_drowned_targets_are_raised(bank: Bank) -> None:
    config = dataclasses.replace(
        PLAIN, silent_bed_db=(0.0, 0.0), snr_db=(-40.0, -40.0), audible_db=6.0
    )
    scene = SoundscapeGenerator(bank, split="train", config=config, seed=4).generate(0)
    (event,) = scene.events
    level = envelope_db(scene.audio, 16_000)
    inside = level[int(event.onset_s * 100) + 3 : int(event.offset_s * 100) - 3]
    assert np.median(inside) > np.median(level[:30]) + 4.0


def test_machines_that_fill_a_scene_are_labelled_from_edge_to_edge(bank: Bank) -> None:
    steady = ClassSpec(texture="steady", whole_scene=1.0, speed=(0.7, 1.4))
    for label, share in (("Frying", 0.0), ("Vacuum_cleaner", 1.0)):
        plan = dataclasses.replace(steady, synthetic_share=share)
        config = dataclasses.replace(PLAIN, plans=ONLY | {label: plan}, speech_over_steady=0.0)
        generator = SoundscapeGenerator(bank, split="train", config=config, seed=2)
        for index in range(6):
            scene = generator.generate(index)
            (event,) = scene.events
            assert (event.label, event.onset_s, event.offset_s) == (label, 0.0, 4.0)
            level = envelope_db(scene.audio, 16_000)
            assert level.min() > level.max() - 35.0


def test_negatives_have_no_labels(bank: Bank) -> None:
    config = dataclasses.replace(SMALL, sources=(1.0,), distractors=(0.0, 1.0))
    generator = SoundscapeGenerator(bank, split="train", config=config, seed=1)
    assert all(generator.generate(index).events == () for index in range(15))


def test_silence_of_the_device_is_not_labelled(bank: Bank) -> None:
    config = dataclasses.replace(SMALL, silent_edge=1.0, silent_edge_s=(1.0, 1.0))
    generator = SoundscapeGenerator(bank, split="train", config=config, seed=1)
    for index in range(15):
        scene = generator.generate(index)
        for event in scene.events:
            assert scene.audio[int(event.onset_s * 16_000) + 1 :][:4000].any()
            assert not (event.onset_s < 1.0 and not scene.audio[:16_000].any())
            assert not (event.offset_s > 3.0 and not scene.audio[-16_000:].any())


def test_the_configuration_comes_from_plain_data_and_knows_its_keys() -> None:
    schema = TypeAdapter(SoundscapeConfig)
    config = SoundscapeConfig(level_dbfs=(-40.0, -20.0, -10.0))
    assert schema.validate_python(schema.dump_python(config, mode="json")) == config
    changed = schema.validate_python({"plans": {"Cat": {"weight": 2.0}}})
    assert changed.plans["Cat"].weight == 2.0
    assert changed.plans["Dog"] == SoundscapeConfig().plans["Dog"]
    for wrong in (
        {"duration": 3.0},
        {"plans": {"Cat": {"wait": 1.0}}},
        {"plans": {"Horse": {}}},
        {"sources": [0.5, 0.2]},
        {"duration_s": 0.0},
    ):
        with pytest.raises(ValidationError):
            schema.validate_python(wrong)
