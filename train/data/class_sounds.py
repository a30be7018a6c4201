"""Raw sounds of a class, before they are placed in a scene: from the bank or synthesised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from train.data.activity import ActivityRule, Interval, active_intervals
from train.data.bank import Bank, Clip, Split
from train.data.colour import loop
from train.data.level import power
from train.data.soundscape_config import ClassSpec, SoundscapeConfig
from train.synthesis.catalogue import synthesise
from train.synthesis.draw import log_uniform, pick
from train.synthesis.oscillators import fade

Signal = NDArray[np.float32]

_BEFORE_S, _AFTER_S = 0.08, 0.25  # of a clip's surroundings that stay with an interval
_MOST_REPEATS = 8
_RAMP_S = 4.0  # no synthetic machine starts or stops more slowly
_FADED = 0.2  # share of a cosine fade that lies below -20 dB


@dataclass(frozen=True, slots=True)
class Sound:
    """Raw audio of one source and where in it the source sounds.

    Attributes:
        audio: ``(n,)`` float32.
        active: sorted, disjoint intervals in samples.
    """

    audio: Signal
    active: tuple[Interval, ...]


class ClassSounds:
    """Draws sounds of one split."""

    def __init__(self, bank: Bank, *, split: Split, config: SoundscapeConfig) -> None:
        self.bank = bank
        self.split: Split = split
        self.config = config
        self.rate = config.sample_rate
        self._active: dict[str, tuple[Interval, ...]] = {}
        self._recordings: dict[str, dict[str, list[Clip]]] = {}
        for clip in bank.select("foreground", split=split):
            by_recording = self._recordings.setdefault(clip.label, {})
            by_recording.setdefault(clip.recording, []).append(clip)

    def available(self, label: str) -> bool:
        """Whether the bank or the synthesis has this class."""
        return label in self._recordings or self.config.plans[label].synthetic_share > 0.0

    def activity(self, clip: Clip, rule: ActivityRule) -> tuple[Interval, ...]:
        """Active intervals of a clip, found once."""
        if clip.file not in self._active:
            self._active[clip.file] = active_intervals(
                self.bank.samples(clip), rule, sample_rate=self.rate
            )
        return self._active[clip.file]

    def preload(self) -> None:
        """Find the activity of every target clip now."""
        for label, recordings in self._recordings.items():
            for clips in recordings.values():
                for clip in clips:
                    self.activity(clip, self.config.plans[label].activity)

    def steady(
        self, rng: np.random.Generator, label: str, *, duration_s: float, whole: bool
    ) -> Sound:
        """A running sound of ``duration_s``; ``whole`` leaves out its start and stop."""
        spec = self.config.plans[label]
        n = int(duration_s * self.rate)
        if self._synthetic(rng, label, spec):
            if not whole:
                return self._synthesised(rng, label, duration_s=duration_s)
            sound = self._synthesised(rng, label, duration_s=duration_s + 2.0 * _RAMP_S)
            cut = int(_RAMP_S * self.rate)
            return Sound(sound.audio[cut : cut + n], ((0, n),))
        clip = self._clip(rng, label)
        active = self.activity(clip, spec.activity)
        if not whole and self._starts_or_stops(clip, active) and rng.random() < 0.5:
            return self._span(rng, clip, active, 0, len(active))
        start, stop = max(active, key=lambda span: span[1] - span[0])
        audio = loop(rng, self.bank.samples(clip, start, stop), n, crossfade=int(0.25 * self.rate))
        if whole:
            return Sound(audio, ((0, n),))
        attack = int(log_uniform(rng, 0.01, 0.5) * self.rate)
        release = int(log_uniform(rng, 0.01, 0.8) * self.rate)
        attack, release = min(attack, n // 4), min(release, n // 4)
        audio = audio * fade(n, attack=attack, release=release)
        return Sound(audio, ((int(_FADED * attack), n - int(_FADED * release)),))

    def bursts(self, rng: np.random.Generator, label: str, *, limit_s: float) -> Sound:
        """One sound, or several of one recording with pauses, at most about ``limit_s`` long."""
        spec = self.config.plans[label]
        if self._synthetic(rng, label, spec):  # its pattern repeats already
            return self._synthesised(rng, label, duration_s=log_uniform(rng, *spec.duration_s))
        clip = self._clip(rng, label)
        first = self._cut(rng, clip, spec)
        repeats = min(int(rng.geometric(1.0 - spec.again)) - 1, _MOST_REPEATS)
        same = label == "Alarm_bell_ringing"  # a bell rings again; no voice repeats itself
        gap_s = log_uniform(rng, *spec.gap_s)
        audio, active = [first.audio], list(first.active)
        now = len(first.audio)
        for _ in range(repeats):
            if now > limit_s * self.rate:
                break
            if not same:
                gap_s = log_uniform(rng, *spec.gap_s)
                clip = pick(rng, self._recordings[label][clip.recording])
            piece = first if same else self._cut(rng, clip, spec)
            gap = np.zeros(int(gap_s * self.rate), dtype=np.float32)
            active += [(a + now + len(gap), b + now + len(gap)) for a, b in piece.active]
            audio += [gap, piece.audio]
            now += len(gap) + len(piece.audio)
        return Sound(np.concatenate(audio), tuple(active))

    def _synthetic(self, rng: np.random.Generator, label: str, spec: ClassSpec) -> bool:
        drawn = rng.random() < spec.synthetic_share
        return drawn if label in self._recordings else True

    def _clip(self, rng: np.random.Generator, label: str) -> Clip:
        """A clip of a recording; recordings with many clips count as a few, not as many."""
        recordings = self._recordings[label]
        clips = list(recordings.values())
        weights = np.sqrt([len(group) for group in clips])
        return pick(rng, clips[int(rng.choice(len(clips), p=weights / weights.sum()))])

    def _synthesised(self, rng: np.random.Generator, label: str, *, duration_s: float) -> Sound:
        audio, times = synthesise(
            label,
            rng,
            duration_s=duration_s,
            sample_rate=self.rate,
            held_out=self.split == "valid",
        )
        return Sound(audio, tuple((int(a * self.rate), int(b * self.rate)) for a, b in times))

    def _cut(self, rng: np.random.Generator, clip: Clip, spec: ClassSpec) -> Sound:
        """A clip's intervals, or some neighbouring ones of them, with a little around them."""
        active = self.activity(clip, spec.activity)
        if len(active) > 1 and rng.random() < 0.5:
            first = int(rng.integers(len(active)))
            last = first + int(rng.integers(1, len(active) - first + 1))
            return self._span(rng, clip, active, first, last)
        return self._span(rng, clip, active, 0, len(active))

    def _span(
        self,
        rng: np.random.Generator,
        clip: Clip,
        active: tuple[Interval, ...],
        first: int,
        last: int,
    ) -> Sound:
        length = self.bank.length(clip)
        low = active[first - 1][1] if first else 0
        high = active[last][0] if last < len(active) else length
        start = max(active[first][0] - int(_BEFORE_S * self.rate), low)
        stop = min(active[last - 1][1] + int(_AFTER_S * self.rate), high)
        audio = self.bank.samples(clip, start, stop)
        audio *= fade(
            len(audio),
            attack=min(active[first][0] - start, int(0.05 * self.rate)) or 32,
            release=min(stop - active[last - 1][1], int(0.2 * self.rate)) or 160,
        )
        if clip.source in self.config.narrow_sources and rng.random() < self.config.excite:
            audio = _excited(rng, audio, self.rate)
        return Sound(audio, tuple((a - start, b - start) for a, b in active[first:last]))

    def _starts_or_stops(self, clip: Clip, active: tuple[Interval, ...]) -> bool:
        margin = int(0.1 * self.rate)
        return active[0][0] > margin or active[-1][1] < self.bank.length(clip) - margin


def _excited(rng: np.random.Generator, audio: Signal, sample_rate: int) -> Signal:
    """Add highs that follow the sound: the overtones of its rectified wave above 3.4 kHz."""
    sections = signal.butter(4, 3400.0, "high", fs=sample_rate, output="sos").astype(np.float32)
    highs: Signal = signal.sosfilt(sections, np.abs(audio))
    wanted = power(audio) * 10.0 ** (rng.uniform(-34.0, -16.0) / 10.0)
    return audio + highs * np.float32(np.sqrt(wanted / (power(highs) + 1e-20)))
