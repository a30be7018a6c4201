"""What scenes are like: every number of the soundscape generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from train.data.activity import ActivityRule
from train.data.classes import CLASSES
from train.layering import read_layered

Range = tuple[float, float]


@dataclass(frozen=True)
class ClassSpec:
    """How a class sounds in scenes.

    Attributes:
        weight: how often a source of this class is chosen, relative to the other classes.
        texture: ``steady`` sounds run on (machines, water, frying) and are looped to the length
            that is wanted; ``bursts`` are clips that come singly or again and again.
        synthetic_share: how often it is synthesised and not taken from the bank.
        whole_scene: share of steady sounds that began before the scene and outlast it.
        duration_s: of other steady sounds and of synthetic bursts, log-uniform.
        again: probability that one more burst follows a burst.
        gap_s: pause between bursts, log-uniform.
        speed: resampling factor, log-uniform; it changes pitch and length.
        merge_pause_s: events of the class closer than this are labelled as one.
        range_db: a bank clip is active down to this far below its loud parts.
        clip_pause_s: pauses within a bank clip up to this do not part events.
        floor_percentile: of a clip's envelope; where its noise floor is looked for.
    """

    weight: float = 1.0
    texture: Literal["steady", "bursts"] = "bursts"
    synthetic_share: float = 0.0
    whole_scene: float = 0.3
    duration_s: Range = (0.8, 12.0)
    again: float = 0.4
    gap_s: Range = (0.1, 3.0)
    speed: Range = (0.9, 1.12)
    merge_pause_s: float = 0.15
    range_db: float = 30.0
    clip_pause_s: float = 0.25
    floor_percentile: float = 5.0

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name for it

    @property
    def activity(self) -> ActivityRule:
        """How the class's bank clips are cut into intervals."""
        return ActivityRule(
            range_db=self.range_db,
            merge_pause_s=self.clip_pause_s,
            floor_percentile=self.floor_percentile,
        )


def _class_specs() -> dict[str, ClassSpec]:
    """Specifications of the ten classes.

    Alarms: beeps with pauses below a second are one event, as DESED annotates them. Speech is
    the most frequent sound of homes. Three recorded vacuum cleaners and one kind of dry, designed
    alarms are too few: half or more of these are synthetic.
    """
    steady: dict[str, Any] = {
        "texture": "steady",
        "merge_pause_s": 0.5,
        "clip_pause_s": 0.35,
        "range_db": 26.0,
    }
    return {
        "Alarm_bell_ringing": ClassSpec(
            synthetic_share=0.5,
            duration_s=(0.25, 9.0),
            again=0.5,
            gap_s=(0.15, 3.0),
            speed=(0.75, 1.35),
            merge_pause_s=1.0,
            clip_pause_s=1.0,
        ),
        "Blender": ClassSpec(
            **steady,
            synthetic_share=0.15,
            whole_scene=0.2,
            duration_s=(0.8, 9.0),
            speed=(0.8, 1.25),
        ),
        "Cat": ClassSpec(again=0.45, speed=(0.82, 1.3), range_db=26.0),
        "Dishes": ClassSpec(
            again=0.4, speed=(0.85, 1.18), range_db=26.0, clip_pause_s=0.3, merge_pause_s=0.2
        ),
        "Dog": ClassSpec(
            again=0.45, speed=(0.78, 1.28), range_db=24.0, clip_pause_s=0.2, floor_percentile=20.0
        ),
        "Electric_shaver_toothbrush": ClassSpec(
            **steady,
            synthetic_share=1.0,
            whole_scene=0.35,
            duration_s=(1.2, 14.0),
            speed=(0.95, 1.05),
        ),
        "Frying": ClassSpec(**steady, whole_scene=0.5, duration_s=(2.0, 14.0), speed=(0.8, 1.25)),
        "Running_water": ClassSpec(
            **steady, whole_scene=0.3, duration_s=(1.0, 14.0), speed=(0.8, 1.25)
        ),
        "Speech": ClassSpec(weight=1.8, again=0.5, gap_s=(0.15, 2.5), merge_pause_s=0.2),
        "Vacuum_cleaner": ClassSpec(
            **steady,
            synthetic_share=0.55,
            whole_scene=0.45,
            duration_s=(2.0, 14.0),
            speed=(0.75, 1.3),
        ),
    }


@dataclass(frozen=True)
class SoundscapeConfig:
    """A distribution over scenes.

    Levels are root mean squares above 150 Hz; ranges are drawn uniformly unless noted.

    Attributes:
        sample_rate: in Hz; the bank's.
        duration_s: length of a scene.
        plans: of classes that differ from the defaults; what is given for one replaces its whole.
        sources: probabilities of 0, 1, 2... target sources in a scene; the first is the share
            of scenes without any target.
        speech_over_steady: probability that speech joins a scene that has a steady sound.
        distractors: probabilities of 0, 1, 2... sounds that are none of the classes.
        synthetic_distractor: share of distractors that are synthetic hums and tunes.
        background_distractor: share of distractors that are background recordings, come and gone.
        bed_noise: share of scenes whose bed is noise of a random spectrum.
        bed_silence: share of scenes with next to no bed.
        second_bed: share of other scenes with two recorded beds.
        excluded_beds: background labels in which people talk.
        excluded_files: patterns of the bank's files that are not used: in these speech clips
            other sounds are louder than the voice.
        snr_db: lowest and highest level of a source against the bed; drawn from a beta
            distribution with mean in the lower half.
        silent_bed_db: how much further below the sources a silent bed lies.
        audible_db: a target weaker than this against all else while it sounds is raised to it.
        gain_ramp: share of sources that approach or leave.
        gain_ramp_db: how much they change.
        reverberant: share of scenes in a simulated or recorded room; other scenes are dry.
        same_room: share of reverberant scenes' sources that stand in the scene's own room.
        simulated_rooms: how many rooms to simulate.
        room_places: sources in each of them.
        source_equaliser_db: standard deviation of each source's random equaliser.
        source_low_pass: share of sources, of any class, without highs.
        source_low_pass_hz: where their highs end, log-uniform.
        low_pass_db_per_octave: how steeply highs end, for sources and devices, log-uniform.
        narrow_sources: sources of the bank whose files have no highs of their own.
        excite: share of clips of narrow sources that are given artificial highs.
        device_equaliser_db: standard deviation of the recording device's equaliser.
        device_low_pass: share of devices without highs.
        device_low_pass_hz: where theirs end, log-uniform.
        device_high_pass: share of devices without lows.
        device_high_pass_hz: where theirs begin, log-uniform.
        device_noise: share of devices with audible noise of their own.
        device_noise_db: its level against the scene's.
        companded: share of devices with an 8-bit companding codec.
        level_dbfs: lowest, most frequent and highest level of scenes (triangular).
        clipped: share of scenes that are overdriven.
        overdrive_db: by how much the peaks of overdriven scenes pass full scale.
        silent_edge: share of scenes that begin or end with digital silence.
        silent_edge_s: its length.
        min_event_s: what a scene's edge leaves of an event is labelled from this length on.
    """

    sample_rate: int = 16_000
    duration_s: float = 10.0
    plans: Mapping[str, ClassSpec] = field(default_factory=_class_specs)
    sources: tuple[float, ...] = (0.13, 0.37, 0.28, 0.16, 0.06)
    speech_over_steady: float = 0.2
    distractors: tuple[float, ...] = (0.45, 0.33, 0.16, 0.06)
    synthetic_distractor: float = 0.25
    background_distractor: float = 0.1
    bed_noise: float = 0.18
    bed_silence: float = 0.1
    second_bed: float = 0.2
    excluded_beds: tuple[str, ...] = ("coffee", "coffee-shop", "playground")
    excluded_files: tuple[str, ...] = ("*/precise-community_*wakeword-es-*",)
    snr_db: Range = (-3.0, 30.0)
    silent_bed_db: Range = (15.0, 40.0)
    audible_db: float = -9.0
    gain_ramp: float = 0.25
    gain_ramp_db: Range = (-9.0, 9.0)
    reverberant: float = 0.75
    same_room: float = 0.85
    simulated_rooms: int = 240
    room_places: int = 5
    source_equaliser_db: float = 3.5
    source_low_pass: float = 0.14
    source_low_pass_hz: Range = (2800.0, 6500.0)
    low_pass_db_per_octave: Range = (12.0, 150.0)
    narrow_sources: tuple[str, ...] = ("CatMeows",)
    excite: float = 0.5
    device_equaliser_db: float = 2.5
    device_low_pass: float = 0.25
    device_low_pass_hz: Range = (3300.0, 7500.0)
    device_high_pass: float = 0.5
    device_high_pass_hz: Range = (50.0, 250.0)
    device_noise: float = 0.5
    device_noise_db: Range = (-60.0, -20.0)
    companded: float = 0.06
    level_dbfs: tuple[float, float, float] = (-50.0, -27.0, -6.0)
    clipped: float = 0.05
    overdrive_db: Range = (1.0, 12.0)
    silent_edge: float = 0.04
    silent_edge_s: Range = (0.2, 3.0)
    min_event_s: float = 0.06

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name for it

    def __post_init__(self) -> None:
        if odd := sorted(set(self.plans) - set(CLASSES)):
            raise ValueError(f"plans names {odd[0]}; must be one of {', '.join(CLASSES)}")
        object.__setattr__(self, "plans", _class_specs() | dict(self.plans))
        for name in ("sources", "distractors"):
            shares = getattr(self, name)
            if not shares or min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-6:
                raise ValueError(f"{name} {shares}; must be probabilities that add up to 1")
        if self.duration_s <= 0.5:
            raise ValueError(f"duration_s {self.duration_s}; must be more than 0.5")


def load_soundscapes(path: Path) -> SoundscapeConfig:
    """Read what scenes are like from a YAML file; what it does not have is the default.

    Raises:
        ConfigError: the file is missing, or keys or values are wrong; the line names each.
    """
    return read_layered(path).checked(SoundscapeConfig)
