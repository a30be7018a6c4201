"""Detection as a library: a file to events, or samples to events as they are decided.

No socket, no thread, no configuration file::

    from streamsed import Event, Onset, Stream

    stream = Stream(rate=48_000)
    for block in blocks:  # numpy arrays, of any length
        for change in stream.push(block):
            match change:
                case Onset(label=label, onset_s=onset_s):
                    print(f"{label} since {onset_s:.2f} s")
                case Event(label=label, onset_s=onset_s, offset_s=offset_s):
                    print(f"{label} from {onset_s:.2f} to {offset_s:.2f} s")
    last = stream.end()

The events are those of ``streamsed replay`` and of the daemon, and do not depend on how the
samples are cut into blocks. For many sources on one model see
:class:`streamsed.detect.detector.Detector`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed.bundle import (
    DEFAULT_BUNDLE,
    Bundle,
    ClassPostprocessing,
    Manifest,
    find_bundle,
    load,
)
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Kind, Reason, Score, Transition
from streamsed.detect.sessions import Provider
from streamsed.sources.block import Block
from streamsed.sources.config import build_source
from streamsed.sources.file import RATES
from streamsed.sources.kinds.file import FileSource
from streamsed.sources.mono import silence_unusable, to_mono
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampling import Resampler

AnyBundle = Bundle | Path | str
"""A bundle that was loaded, its folder, or its name."""

_SOURCE = "stream"
_READ_TIMEOUT_S = 60.0
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


@dataclass(frozen=True, slots=True)
class Onset:
    """An event has begun; its :class:`Event` follows when it ends.

    Attributes:
        number: counts the events of the stream from 0.
        label: class.
        onset_s: seconds since the first sample.
        score: of the frames of the event so far, each in [0, 1].
    """

    number: int
    label: str
    onset_s: float
    score: Score


@dataclass(frozen=True, slots=True)
class Event:
    """An event from its onset to its offset.

    Attributes:
        number: that of its :class:`Onset`.
        label: class.
        onset_s: seconds since the first sample.
        offset_s: likewise.
        score: over the frames of the event, each in [0, 1].
        reason: why it ended; ``END_OF_STREAM`` if it went on at the last sample.
    """

    number: int
    label: str
    onset_s: float
    offset_s: float
    score: Score
    reason: Reason

    @property
    def duration_s(self) -> float:
        """From onset to offset."""
        return self.offset_s - self.onset_s


class Stream:
    """One stream of samples: push blocks as they come, get onsets and events as they are decided.

    Used by one thread at a time. It begins in the model's initial state, and after :meth:`end`
    again, with its time at 0.

    Args:
        bundle: name or folder of a model bundle, or a :class:`streamsed.bundle.Bundle`.
        rate: of the samples that will be pushed, in Hz; None for the bundle's own.
        postprocessing: by class, in place of the bundle's: thresholds, windows, durations.
        provider: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one that works.

    Raises:
        BundleError: the bundle is missing, corrupt, or fails its self-test.
        ConfigError: ``postprocessing`` names an unknown class.
        ProviderError: the hardware cannot be used.
        ValueError: the rate is none of audio.
    """

    def __init__(
        self,
        bundle: AnyBundle = DEFAULT_BUNDLE,
        *,
        rate: int | None = None,
        postprocessing: Mapping[str, ClassPostprocessing] | None = None,
        provider: Provider = "cpu",
    ) -> None:
        if not isinstance(bundle, Bundle):
            bundle = load(find_bundle(Path(bundle)))
        self.manifest: Manifest = bundle.manifest
        """The bundle's: classes, sample rate, thresholds."""
        self.rate = self.manifest.sample_rate if rate is None else rate
        """Of the samples that are pushed, in Hz."""
        if self.rate not in RATES:
            raise ValueError(f"rate is {rate} Hz; {RATES[0]} to {RATES[-1]} Hz would be right")
        engine = Engine(bundle, provider=provider, max_batch=1)
        self._detector = Detector(engine, postprocessing)
        self._begin()

    @property
    def position_s(self) -> float:
        """Length of what was pushed since the beginning, with what was lost, in seconds."""
        return self._samples / self.rate

    def push(self, samples: ArrayLike, *, lost_samples: int = 0) -> list[Onset | Event]:
        """Take the next samples and return what they decide, in order.

        Args:
            samples: ``(n,)``, or ``(n, channels)``, of which the mean is taken; floats with a full
                scale of 1, int16 or int32. They are copied. NaN, infinite and absurd values count
                as silence.
            lost_samples: how many are missing before these. What is longer than a step of the
                model ends the open events (reason ``GAP``).

        Raises:
            ValueError: it is no such array.
        """
        if lost_samples < 0:
            raise ValueError(f"lost_samples is {lost_samples}; 0 or more would be right")
        mono = _mono(samples)
        self._samples += lost_samples
        if len(mono):
            self._push(self._resampler.push(Block(mono, self._samples)))
            self._samples += len(mono)
        return self._decided()

    def end(self) -> list[Onset | Event]:
        """Return what the last samples decide; events that go on end there."""
        self._push(self._resampler.flush())
        self._detector.end(_SOURCE, Reason.END_OF_STREAM)
        changes = self._decided()
        self._begin()
        return changes

    def detect(self, blocks: Iterable[ArrayLike]) -> Iterator[Onset | Event]:
        """Push all blocks, yield what they decide, and end."""
        for block in blocks:
            yield from self.push(block)
        yield from self.end()

    async def detect_async(self, blocks: AsyncIterable[ArrayLike]) -> AsyncIterator[Onset | Event]:
        """Do what :meth:`detect` does for blocks that are awaited; computes in the event loop."""
        async for block in blocks:
            for change in self.push(block):
                yield change
        for change in self.end():
            yield change

    def _begin(self) -> None:
        self._samples = 0
        self._resampler = Resampler(self.rate, self.manifest.sample_rate)
        self._detector.add(_SOURCE)

    def _push(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._detector.push(_SOURCE, block)

    def _decided(self) -> list[Onset | Event]:
        changes: list[Onset | Event] = []
        while (result := self._detector.step()) is not None:
            changes += [self._change(t) for t in result.transitions if t.kind is not Kind.UPDATE]
        return changes

    def _change(self, transition: Transition) -> Onset | Event:
        sample_rate = self.manifest.sample_rate
        onset_s = transition.onset_sample / sample_rate
        if transition.offset_sample is None or transition.reason is None:
            return Onset(transition.number, transition.label, onset_s, transition.score)
        return Event(
            number=transition.number,
            label=transition.label,
            onset_s=onset_s,
            offset_s=transition.offset_sample / sample_rate,
            score=transition.score,
            reason=transition.reason,
        )


def detect_file(
    path: Path | str,
    bundle: AnyBundle = DEFAULT_BUNDLE,
    *,
    postprocessing: Mapping[str, ClassPostprocessing] | None = None,
    provider: Provider = "cpu",
) -> list[Event]:
    """Return the events of a recording by onset.

    Args:
        path: WAV, FLAC, Ogg, MP3 and whatever else the daemon reads as a file.
        bundle: name or folder of a model bundle, or a :class:`streamsed.bundle.Bundle`.
        postprocessing: by class, in place of the bundle's.
        provider: ``cpu``, ``cuda``, or ``auto``.

    Raises:
        SourceError: the recording cannot be opened.
        SourceLost: it is cut short or damaged.
        BundleError: the bundle is missing, corrupt, or fails its self-test.
        ConfigError: ``postprocessing`` names an unknown class.
        ProviderError: the hardware cannot be used.
    """
    stream = Stream(bundle, postprocessing=postprocessing, provider=provider)
    events = [e for e in stream.detect(_blocks(Path(path), stream.rate)) if isinstance(e, Event)]
    return sorted(events, key=lambda event: (event.onset_s, event.number))


def _blocks(path: Path, rate: int) -> Iterator[NDArray[np.float32]]:
    source = build_source(FileSource(name=_SOURCE, path=path, paced=False))
    try:
        source.open(rate)
        while True:
            try:
                block = source.read(timeout_s=_READ_TIMEOUT_S)
            except EndOfSource:
                return
            if block is not None:
                yield block.samples
    finally:
        source.close()


def _mono(samples: ArrayLike) -> NDArray[np.float32]:
    """Return ``(n,)`` float32 that is not shared."""
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not array.shape[1]):
        raise ValueError(f"samples are of shape {array.shape}; (n,) or (n, channels) is wanted")
    if array.dtype in _FULL_SCALE:
        frames = (array / np.float64(_FULL_SCALE[array.dtype])).astype(np.float32)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinite in float32, and silenced below
            frames = array.astype(np.float32, copy=True)
    else:
        raise ValueError(f"samples are {array.dtype}; floats, int16 or int32 are wanted")
    silence_unusable(frames)
    return frames if frames.ndim == 1 else to_mono(frames, None)
