"""Scenes of a home with exact labels, mixed on the fly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.bank import Bank, Clip, Split
from train.data.classes import CLASSES
from train.data.colour import colour, equaliser_db, loop, loudness_signal, power
from train.data.device import record
from train.data.events import Event, merge
from train.data.material import Material, Sound
from train.data.rooms import Response, Room, bank_rooms, simulate_rooms
from train.data.soundscape_config import ClassPlan, SoundscapeConfig
from train.synthesis.catalogue import NEGATIVES, synthesise
from train.synthesis.draw import log_uniform
from train.synthesis.oscillators import fade, shaped_noise

__all__ = ["ClassPlan", "Soundscape", "SoundscapeConfig", "SoundscapeGenerator"]

Signal = NDArray[np.float32]

_ROOM_SEED = {"train": 11, "valid": 12}
_SPLIT_SALT = {"train": 0, "valid": 1}


@dataclass(frozen=True, slots=True)
class Soundscape:
    """A scene.

    Attributes:
        audio: ``(N,)`` float32 in [-1, 1].
        events: sorted by onset; no two of one class overlap.
    """

    audio: Signal
    events: tuple[Event, ...]


@dataclass(slots=True)
class _Placed:
    """A source in the scene: its audio at its place and level, and its events."""

    label: str | None
    audio: Signal
    loud: Signal
    active: list[tuple[int, int]]


class SoundscapeGenerator:
    """Mixes scene after scene from a bank's split.

    A scene depends on the seed, its index and the configuration alone, so any number of worker
    processes may share the work. Room responses and the activity of clips are made here, once:
    build the generator before workers are forked.

    Args:
        bank: recordings.
        split: whose recordings, rooms and synthetic pitches are used.
        config: the distribution of scenes.
        seed: of the scenes; rooms have a seed of their own.
        cache: folder in which simulated rooms are kept; None keeps nothing.
    """

    def __init__(
        self,
        bank: Bank,
        *,
        split: Split,
        config: SoundscapeConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.split: Split = split
        bank = bank.without(config.excluded_files)
        self._bank = bank
        self._n = round(config.duration_s * config.sample_rate)
        self._material = Material(bank, split=split, config=config)
        bank.preload(split)
        self._material.preload()
        self._beds = tuple(
            clip
            for clip in bank.select("background", split=split)
            if clip.label not in config.excluded_beds
        )
        self._distractors = _by_label(bank.select("distractor", split=split))
        self._bed_labels = _by_label(self._beds)
        self._labels = tuple(label for label in CLASSES if self._material.available(label))
        weights = np.array([config.plans[label].weight for label in self._labels])
        self._weights = weights / weights.sum()
        self._rooms: tuple[Room, ...] = simulate_rooms(
            count=config.simulated_rooms
            if split == "train"
            else max(config.simulated_rooms // 4, 1),
            places=config.room_places,
            seed=_ROOM_SEED[split],
            sample_rate=config.sample_rate,
            cache=cache,
        ) + bank_rooms(bank, split=split, sample_rate=config.sample_rate)

    def generate(self, index: int) -> Soundscape:
        """Mix scene ``index``; the same index always gives the same scene."""
        config, n = self.config, self._n
        rng = np.random.default_rng([self.seed, _SPLIT_SALT[self.split], index])
        room = self._room(rng) if rng.random() < config.reverberant else None
        bed, head_db = self._bed(rng)
        bed_loud = loudness_signal(bed, config.sample_rate)
        bed_db = 10.0 * np.log10(power(bed_loud) + 1e-12) + head_db
        placed = [self._place(rng, label, room=room, bed_db=bed_db) for label in self._targets(rng)]
        distractors = int(rng.choice(len(config.distractors), p=config.distractors))
        placed += [self._place(rng, None, room=room, bed_db=bed_db) for _ in range(distractors)]
        total_loud = bed_loud + sum((source.loud for source in placed), np.zeros(n, np.float32))
        for source in placed:
            if source.label is not None:
                total_loud = self._raise(source, total_loud)
        audio = bed + sum((source.audio for source in placed), np.zeros(n, np.float32))
        audio, kept = record(rng, audio, config)
        return Soundscape(audio, self._events(placed, kept))

    def _targets(self, rng: np.random.Generator) -> list[str]:
        config = self.config
        count = int(rng.choice(len(config.sources), p=config.sources))
        labels = [str(label) for label in rng.choice(self._labels, count, p=self._weights)]
        steady = any(config.plans[label].texture == "steady" for label in labels)
        if steady and "Speech" not in labels and rng.random() < config.speech_over_steady:
            labels.append("Speech")
        return labels

    def _room(self, rng: np.random.Generator) -> Room:
        return self._rooms[int(rng.integers(len(self._rooms)))]

    def _bed(self, rng: np.random.Generator) -> tuple[Signal, float]:
        """Background audio of unit level, and the dB by which sources stand further above it."""
        config, n = self.config, self._n
        drawn = rng.random()
        silent = drawn < config.bed_silence
        if silent or drawn < config.bed_silence + config.bed_noise or not self._beds:
            points = np.geomspace(30.0, 8000.0, 10)
            slope = rng.uniform(-1.0, 7.0) * np.log2(points / 30.0)
            gains = -slope + rng.uniform(0.0, 4.0) * rng.standard_normal(len(points))
            bed = shaped_noise(
                rng, n, points_hz=points, gains_db=gains, sample_rate=config.sample_rate
            )
        else:
            bed = self._recorded_bed(rng)
            if rng.random() < config.second_bed:
                bed = bed + self._recorded_bed(rng) * np.float32(10 ** (rng.uniform(-15, 0) / 20))
        bed = bed / np.float32(np.sqrt(power(loudness_signal(bed, config.sample_rate))) + 1e-9)
        return bed, rng.uniform(*config.silent_bed_db) if silent else 0.0

    def _recorded_bed(self, rng: np.random.Generator) -> Signal:
        config, n = self.config, self._n
        labels = tuple(self._bed_labels)
        group = self._bed_labels[labels[int(rng.integers(len(labels)))]]
        clip = group[int(rng.integers(len(group)))]
        speed = log_uniform(rng, 0.8, 1.25)
        need = int(n * speed) + 512
        length = self._bank.length(clip)
        start = int(rng.integers(0, max(length - need, 0) + 1))
        material = self._bank.samples(clip, start, start + need)
        audio = loop(rng, material, need, crossfade=int(0.4 * config.sample_rate))
        curve = equaliser_db(
            rng,
            spread_db=config.source_equaliser_db,
            sample_rate=config.sample_rate,
            low_pass=self._low_pass(rng),
        )
        coloured, _ = colour(audio, sample_rate=config.sample_rate, speed=speed, curve_db=curve)
        bed = np.zeros(n, np.float32)
        bed[: len(coloured)] = coloured[:n]
        return bed / np.float32(np.sqrt(power(loudness_signal(bed, config.sample_rate))) + 1e-9)

    def _low_pass(self, rng: np.random.Generator) -> tuple[float, float] | None:
        if rng.random() < self.config.source_low_pass:
            slope = log_uniform(rng, *self.config.low_pass_db_per_octave)
            return log_uniform(rng, *self.config.source_low_pass_hz), slope
        return None

    def _place(
        self, rng: np.random.Generator, label: str | None, *, room: Room | None, bed_db: float
    ) -> _Placed:
        """Draw a source of a class (None: a distractor), colour it, and set its place and level."""
        config, n, rate = self.config, self._n, self.config.sample_rate
        sound, onset, speed_range = (
            self._distractor(rng) if label is None else self._target(rng, label)
        )
        curve = equaliser_db(
            rng,
            spread_db=config.source_equaliser_db,
            sample_rate=rate,
            low_pass=self._low_pass(rng),
        )
        audio, speed = colour(
            sound.audio,
            sample_rate=rate,
            speed=log_uniform(rng, *speed_range),
            curve_db=curve,
            response=self._response(rng, room),
        )
        if rng.random() < config.gain_ramp:
            change = rng.uniform(*config.gain_ramp_db) / 20.0
            audio = audio * np.power(
                10.0, np.linspace(-change / 2, change / 2, len(audio)), dtype=np.float32
            )
        lead = (
            int(0.001 * rate) if room is not None else 0
        )  # of the response before its direct path
        start = onset - lead
        scene = np.zeros(n, np.float32)
        cut = audio[max(-start, 0) : n - start]
        scene[max(start, 0) : max(start, 0) + len(cut)] = cut
        active = [
            (max(onset + round(a / speed), 0), min(onset + round(b / speed), n))
            for a, b in sound.active
        ]
        active = [(a, b) for a, b in active if b > a]
        loud = np.zeros(n, np.float32)
        loud[max(start, 0) : max(start, 0) + len(cut)] = loudness_signal(cut, rate)
        level = _level_db(loud, active or [(0, n)])
        low, high = config.snr_db
        snr_db = low + (high - low) * rng.beta(1.8, 2.2)
        gain = np.float32(10.0 ** (min(bed_db + snr_db - level, 120.0) / 20.0))
        return _Placed(label, scene * gain, loud * gain, active)

    def _response(self, rng: np.random.Generator, room: Room | None) -> Response | None:
        if room is None:
            return None
        if rng.random() > self.config.same_room:
            room = self._room(rng)
        return room.responses[int(rng.integers(len(room.responses)))]

    def _target(
        self, rng: np.random.Generator, label: str
    ) -> tuple[Sound, int, tuple[float, float]]:
        """A sound of a class, the sample at which it begins, and its range of speeds."""
        plan, rate = self.config.plans[label], self.config.sample_rate
        scene_s = self.config.duration_s
        if plan.texture == "bursts":
            sound = self._material.bursts(rng, label, limit_s=scene_s)
            length_s = len(sound.audio) / rate
            earliest = -0.35 * length_s if rng.random() < 0.2 else 0.0
            latest = max(scene_s - min(0.7 * length_s, scene_s * 0.9), earliest + 0.1)
            return sound, int(rng.uniform(earliest, latest) * rate), plan.speed
        if rng.random() < plan.whole_scene:
            # Longer than the scene at any speed, so that both its ends lie outside.
            duration_s = scene_s * plan.speed[1] + 0.1
            return (
                self._material.steady(rng, label, duration_s=duration_s, whole=True),
                0,
                plan.speed,
            )
        duration_s = log_uniform(rng, *plan.duration_s)
        sound = self._material.steady(rng, label, duration_s=duration_s, whole=False)
        length_s = len(sound.audio) / rate
        onset_s = rng.uniform(-0.4 * length_s, scene_s - min(0.6 * length_s, 0.8 * scene_s))
        return sound, int(onset_s * rate), plan.speed

    def _distractor(self, rng: np.random.Generator) -> tuple[Sound, int, tuple[float, float]]:
        """A sound of none of the classes."""
        config, rate = self.config, self.config.sample_rate
        drawn = rng.random()
        duration_s = log_uniform(rng, 0.5, config.duration_s)
        if drawn < config.synthetic_distractor or not (self._distractors or self._beds):
            name = tuple(NEGATIVES)[int(rng.integers(len(NEGATIVES)))]
            audio, times = synthesise(
                name, rng, duration_s=duration_s, sample_rate=rate, held_out=self.split == "valid"
            )
            active = tuple((int(a * rate), int(b * rate)) for a, b in times)
        else:
            background = drawn < config.synthetic_distractor + config.background_distractor
            labels = (
                self._bed_labels
                if (background and self._beds) or not self._distractors
                else self._distractors
            )
            group = labels[tuple(labels)[int(rng.integers(len(labels)))]]
            clip = group[int(rng.integers(len(group)))]
            length = self._bank.length(clip)
            n = min(int(duration_s * rate), length)
            start = int(rng.integers(0, length - n + 1)) if rng.random() < 0.6 else 0
            audio = self._bank.samples(clip, start, start + n)
            audio *= fade(
                n,
                attack=int(log_uniform(rng, 0.005, 0.2) * rate),
                release=int(log_uniform(rng, 0.01, 0.4) * rate),
            )
            active = ((0, n),)
        onset_s = rng.uniform(-0.3 * len(audio) / rate, config.duration_s - 0.3)
        return Sound(audio, active), int(onset_s * rate), (0.8, 1.25)

    def _raise(self, source: _Placed, total_loud: Signal) -> Signal:
        """Make a target audible among all else; returns the new sum."""
        if not source.active:
            return total_loud
        own = _level_db(source.loud, source.active)
        rest = _level_db(total_loud - source.loud, source.active)
        short = self.config.audible_db - (own - rest)
        if short <= 0.0:
            return total_loud
        gain = np.float32(10.0 ** (short / 20.0))
        total_loud = total_loud + (gain - np.float32(1.0)) * source.loud
        source.audio, source.loud = source.audio * gain, source.loud * gain
        return total_loud

    def _events(self, placed: list[_Placed], kept: tuple[int, int]) -> tuple[Event, ...]:
        config, rate = self.config, self.config.sample_rate
        found = [
            Event(source.label, max(a, kept[0]) / rate, min(b, kept[1]) / rate)
            for source in placed
            if source.label is not None
            for a, b in source.active
            if min(b, kept[1]) > max(a, kept[0])
        ]
        pauses = {label: plan.merge_pause_s for label, plan in config.plans.items()}
        merged = merge(found, pause_s=pauses)
        return tuple(e for e in merged if e.offset_s - e.onset_s >= config.min_event_s)


def _by_label(clips: tuple[Clip, ...]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.label, []).append(clip)
    return groups


def _level_db(loud: Signal, active: list[tuple[int, int]]) -> float:
    energy = sum(float(np.dot(loud[a:b], loud[a:b])) for a, b in active)
    samples = sum(b - a for a, b in active)
    return float(10.0 * np.log10(energy / max(samples, 1) + 1e-12))
