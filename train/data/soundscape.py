"""Scenes of a home with exact labels, mixed on the fly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import ConfigError
from train.data.bank import Bank, Split
from train.data.beds import Beds
from train.data.class_sounds import ClassSounds, Sound
from train.data.classes import CLASSES
from train.data.colour import colour, equaliser_db, random_low_pass
from train.data.device import record
from train.data.distractors import Distractors
from train.data.events import Event, merge
from train.data.level import energy, level_db, loudness_signal
from train.data.rooms import LEAD_S, Room, bank_rooms, simulate_rooms
from train.data.soundscape_config import ClassSpec, SoundscapeConfig
from train.synthesis.draw import log_uniform, pick

__all__ = ["ClassSpec", "Soundscape", "SoundscapeConfig", "SoundscapeGenerator"]

Signal = NDArray[np.float32]

_ROOM_SEED = {"train": 11, "valid": 12}
_SPLIT_SALT = {"train": 0, "valid": 1}
_DISTRACTOR_SPEED = (0.8, 1.25)
_HIGHEST_PEAK = 0.99
_BEFORE_SCENE_S = 0.5  # a sound that fills the scene has filled the room before it begins


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
class _Source:
    """A sound at its place and level in the scene; ``label`` is None for a distractor."""

    label: str | None
    audio: Signal
    loud: Signal
    active: list[tuple[int, int]]


class SoundscapeGenerator:
    """Mixes scene after scene from a bank's split.

    A scene depends on the seed, its index and the configuration alone, so any number of worker
    processes may share the work. Clips are decoded and cut and room responses made here, once:
    build the generator before workers are forked, and they share that memory.

    Args:
        bank: recordings.
        split: whose recordings, rooms and synthetic pitches are used.
        config: the distribution of scenes.
        seed: of the scenes; rooms have a seed of their own.
        cache: folder in which simulated rooms are kept; None keeps nothing.

    Raises:
        ConfigError: a file of the bank cannot be decoded, or it has no clip of any class.
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
        bank = bank.without(config.excluded_files)
        bank.preload(split)
        self.bank = bank
        self.config = config
        self.seed = seed
        self.split: Split = split
        self._n = round(config.duration_s * config.sample_rate)
        self._beds = Beds(bank, split=split, config=config)
        self._distractors = Distractors(bank, split=split, config=config)
        self._sounds = ClassSounds(bank, split=split, config=config)
        self._labels = tuple(label for label in CLASSES if self._sounds.available(label))
        weights = np.array([config.plans[label].weight for label in self._labels])
        if not weights.sum() > 0.0:
            wanted = ", ".join(label for label, spec in config.plans.items() if spec.weight > 0.0)
            raise ConfigError(f"{bank.folder}: has no clip of {wanted} in its split {split}")
        self._weights = weights / weights.sum()
        rooms = config.simulated_rooms if split == "train" else config.simulated_rooms // 4
        self._rooms: tuple[Room, ...] = simulate_rooms(
            count=max(rooms, 1),
            places=config.room_places,
            seed=_ROOM_SEED[split],
            sample_rate=config.sample_rate,
            cache=cache,
        ) + bank_rooms(bank, split=split, sample_rate=config.sample_rate)

    def generate(self, index: int) -> Soundscape:
        """Mix scene ``index``; the same index always gives the same scene."""
        rng = self._chance(index)
        audio, sources = self._place(rng)
        for source in sources:
            audio += source.audio
        audio, kept = record(rng, audio, self.config)
        return Soundscape(audio, self._events(sources, kept))

    def separate(self, index: int, *, most: int) -> Signal:
        """Mix scene ``index`` without a device, whose faults belong to no source.

        Args:
            index: the same always gives the same sources.
            most: the most sources, the background among them.

        Returns:
            ``(2 to most, N)`` float32, the background first; they sum to the scene, whose peak
            is below 1.
        """
        rng = self._chance(index)
        bed, placed = self._place(rng, least=1, most=most - 1)
        sources = np.stack([bed, *(source.audio for source in placed)])
        mixture = sources.sum(axis=0)
        wanted_db = rng.triangular(*self.config.level_dbfs)
        gain = 10.0 ** ((wanted_db - level_db(mixture, self.config.sample_rate)) / 20.0)
        peak = float(max(np.abs(mixture).max(), np.abs(sources).max()))
        return sources * np.float32(min(gain, _HIGHEST_PEAK / max(peak, 1e-9)))

    def _chance(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _SPLIT_SALT[self.split], index])

    def _place(
        self, rng: np.random.Generator, *, least: int = 0, most: int | None = None
    ) -> tuple[Signal, list[_Source]]:
        """Draw a background and the sources in it, each at its level."""
        config = self.config
        room = pick(rng, self._rooms) if rng.random() < config.reverberant else None
        bed, reference_db = self._beds.draw(rng, self._n)
        total_loud = loudness_signal(bed, config.sample_rate)
        labels: list[str | None] = [*self._targets(rng)]
        labels += [None] * int(rng.choice(len(config.distractors), p=config.distractors))
        while len(labels) < least:
            labels.append(str(rng.choice(self._labels, p=self._weights)))
        sources = [
            self._source(rng, label, room=room, reference_db=reference_db)
            for label in labels[:most]
        ]
        for source in sources:
            total_loud += source.loud
        for source in sources:
            if source.label is not None and source.active:
                self._make_audible(source, total_loud)
        return bed, sources

    def _targets(self, rng: np.random.Generator) -> list[str]:
        config = self.config
        count = int(rng.choice(len(config.sources), p=config.sources))
        labels = [str(label) for label in rng.choice(self._labels, count, p=self._weights)]
        steady = any(config.plans[label].texture == "steady" for label in labels)
        if (
            steady
            and "Speech" in self._labels
            and "Speech" not in labels
            and rng.random() < config.speech_over_steady
        ):
            labels.append("Speech")
        return labels

    def _source(
        self, rng: np.random.Generator, label: str | None, *, room: Room | None, reference_db: float
    ) -> _Source:
        """Draw a source of a class (None: a distractor) and set it into the scene."""
        config, n, rate = self.config, self._n, self.config.sample_rate
        sound, onset = self._distractor(rng) if label is None else self._target(rng, label)
        speed_range = _DISTRACTOR_SPEED if label is None else config.plans[label].speed
        audio, speed = self._coloured(rng, sound, room=room, speed_range=speed_range)
        start = onset - (int(LEAD_S * rate) if room is not None else 0)
        first = max(start, 0)
        cut = audio[max(-start, 0) : max(n - start, 0)]
        scene, loud = np.zeros(n, np.float32), np.zeros(n, np.float32)
        if len(cut):
            scene[first : first + len(cut)] = cut
            loud[first : first + len(cut)] = loudness_signal(cut, rate)
        placed = ((onset + round(a / speed), onset + round(b / speed)) for a, b in sound.active)
        active = [(max(a, 0), min(b, n)) for a, b in placed if a < n and b > 0]
        low, high = config.snr_db
        wanted_db = reference_db + low + (high - low) * rng.beta(1.8, 2.2)
        gain_db = wanted_db - _active_level_db(loud, active or [(0, n)])
        gain = np.float32(10.0 ** (min(gain_db, 100.0) / 20.0))
        return _Source(label, scene * gain, loud * gain, active)

    def _coloured(
        self,
        rng: np.random.Generator,
        sound: Sound,
        *,
        room: Room | None,
        speed_range: tuple[float, float],
    ) -> tuple[Signal, float]:
        """Speed, equaliser, room and approach of a source; returns its audio and speed."""
        config, rate = self.config, self.config.sample_rate
        curve = equaliser_db(
            rng,
            spread_db=config.source_equaliser_db,
            sample_rate=rate,
            low_pass=random_low_pass(rng, config),
        )
        speed = log_uniform(rng, *speed_range)
        response = None
        if room is not None:
            own = room if rng.random() < config.same_room else pick(rng, self._rooms)
            response = pick(rng, own.responses)
        audio, speed = colour(
            sound.audio, sample_rate=rate, speed=speed, curve_db=curve, response=response
        )
        if rng.random() < config.gain_ramp:
            decades = rng.uniform(*config.gain_ramp_db) / 20.0
            ramp = np.linspace(-decades / 2.0, decades / 2.0, len(audio), dtype=np.float32)
            audio = audio * np.power(np.float32(10.0), ramp)
        return audio, speed

    def _target(self, rng: np.random.Generator, label: str) -> tuple[Sound, int]:
        """A sound of a class and the sample at which it begins."""
        spec, rate = self.config.plans[label], self.config.sample_rate
        scene_s = self.config.duration_s
        if spec.texture == "bursts":
            sound = self._sounds.bursts(rng, label, limit_s=scene_s)
            length_s = len(sound.audio) / rate
            earliest = -0.35 * length_s if rng.random() < 0.2 else 0.0
            latest = max(scene_s - min(0.7 * length_s, 0.9 * scene_s), earliest + 0.1)
            return sound, int(rng.uniform(earliest, latest) * rate)
        if rng.random() < spec.whole_scene:
            # Longer than the scene at any speed, so that both its ends lie outside.
            duration_s = (scene_s + _BEFORE_SCENE_S) * spec.speed[1] + 0.1
            sound = self._sounds.steady(rng, label, duration_s=duration_s, whole=True)
            return sound, -int(_BEFORE_SCENE_S * rate)
        duration_s = log_uniform(rng, *spec.duration_s)
        sound = self._sounds.steady(rng, label, duration_s=duration_s, whole=False)
        length_s = len(sound.audio) / rate
        onset_s = rng.uniform(-0.4 * length_s, scene_s - min(0.6 * length_s, 0.8 * scene_s))
        return sound, int(onset_s * rate)

    def _distractor(self, rng: np.random.Generator) -> tuple[Sound, int]:
        sound = self._distractors.draw(rng)
        rate = self.config.sample_rate
        onset_s = rng.uniform(-0.3 * len(sound.audio) / rate, self.config.duration_s - 0.3)
        return sound, int(onset_s * rate)

    def _make_audible(self, source: _Source, total_loud: Signal) -> None:
        """Raise a target that all else drowns; ``total_loud`` is kept up to date."""
        own = _active_level_db(source.loud, source.active)
        rest = _active_level_db(total_loud - source.loud, source.active)
        short_db = self.config.audible_db - (own - rest)
        if short_db <= 0.0:
            return
        gain = np.float32(10.0 ** (short_db / 20.0))
        total_loud += (gain - np.float32(1.0)) * source.loud
        source.audio, source.loud = source.audio * gain, source.loud * gain

    def _events(self, sources: list[_Source], kept: tuple[int, int]) -> tuple[Event, ...]:
        """Events of the targets within the samples that the device kept."""
        config, rate = self.config, self.config.sample_rate
        found = [
            Event(source.label, max(a, kept[0]) / rate, min(b, kept[1]) / rate)
            for source in sources
            if source.label is not None
            for a, b in source.active
            if min(b, kept[1]) > max(a, kept[0])
        ]
        pauses = {label: spec.merge_pause_s for label, spec in config.plans.items()}
        merged = merge(found, pause_s=pauses)
        return tuple(e for e in merged if e.offset_s - e.onset_s >= config.min_event_s)


def _active_level_db(loud: Signal, active: list[tuple[int, int]]) -> float:
    """Mean level over intervals."""
    total = sum(energy(loud[a:b]) for a, b in active)
    samples = sum(b - a for a, b in active)
    return float(10.0 * np.log10(total / max(samples, 1) + 1e-12))
