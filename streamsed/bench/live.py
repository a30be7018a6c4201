"""Latency, start-up and memory of a real daemon in its own process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.bench.process import DaemonProcess
from streamsed.bundle import Bundle
from streamsed.client import DaemonMessage, EventMessage
from streamsed.detect.events import Kind
from streamsed.detect.postprocessing import FrameRules

_BLOCK_SAMPLES = 128  # written at a time; as a sound card would, and dividing the usual hops
_EVENT_S = 1.0
_HALF_MILLISECOND = 0.0005  # messages cut their time of publication to whole ones


@dataclass(frozen=True, slots=True)
class OnsetLatency:
    """Of one onset message: seconds from the onset in the audio to its arrival at a subscriber.

    Attributes:
        label: class.
        look_ahead_s: of the model.
        median_s: half the median window.
        min_on_s: until the event is long enough.
        hop_s: until the chunk with the deciding frame is full.
        compute_s: from the last sample needed to the message's publication: reading, the step,
            decoding.
        transport_s: from publication to arrival. Messages give the time in milliseconds, so
            this and ``compute_s`` are right to half of one.
    """

    label: str
    look_ahead_s: float
    median_s: float
    min_on_s: float
    hop_s: float
    compute_s: float
    transport_s: float

    @property
    def algorithmic_s(self) -> float:
        """What no faster machine would shorten."""
        return self.look_ahead_s + self.median_s + self.min_on_s + self.hop_s

    @property
    def total_s(self) -> float:
        """Onset to arrival."""
        return self.algorithmic_s + self.compute_s + self.transport_s


def onset_latencies(bundle: Bundle, *, seconds: float) -> list[OnsetLatency]:
    """Feed a daemon in real time and time its messages.

    Thresholds of 0 and a longest event of a second make every class report an onset a second,
    whatever the model's scores of noise; look-ahead, medians and durations are the bundle's own.
    """
    manifest = bundle.manifest
    rate = manifest.sample_rate
    classes = {
        label: {"enter": 0.0, "exit": 0.0, "max_on_s": max(_EVENT_S, entry.min_on_s)}
        for label, entry in manifest.postprocessing.items()
    }
    noise = _noise(round(seconds * rate))
    source = {"type": "pipe", "name": "bench", "rate": rate, "live": True}
    # The pool last, for a daemon that is gone is what frees a feeder that writes to it.
    with (
        ThreadPoolExecutor(1) as pool,
        DaemonProcess(bundle.folder, sources=[source], classes=classes) as daemon,
    ):
        daemon.wait_for(lambda m: isinstance(m, DaemonMessage))
        began = time.perf_counter()
        feeding = pool.submit(_feed_in_real_time, daemon, noise, rate, began)
        arrivals = []
        while not feeding.done():
            if (received := daemon.receive(0.1)) is not None:
                arrivals.append(received)
        feeding.result()
    wall_clock = time.time() - time.perf_counter()
    return [
        split_latency(bundle, message, began=began + wall_clock, arrived=at + wall_clock)
        for message, at in arrivals
        if isinstance(message, EventMessage)
        and message.kind is Kind.ONSET
        and message.onset.sample > rate  # by then everything is warm
    ]


def _feed_in_real_time(
    daemon: DaemonProcess, samples: NDArray[np.int16], rate: int, began: float
) -> None:
    """Write every block at the moment at which a sound card would deliver it."""
    for first in range(0, len(samples), _BLOCK_SAMPLES):
        block = samples[first : first + _BLOCK_SAMPLES]
        wait = began + (first + len(block)) / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        daemon.feed(block)


def split_latency(
    bundle: Bundle, message: EventMessage, *, began: float, arrived: float
) -> OnsetLatency:
    """Take the latency of an onset apart.

    Args:
        bundle: the model.
        message: of an event without pauses.
        began: Unix time of the source's first sample.
        arrived: Unix time at which the message came.
    """
    manifest = bundle.manifest
    rules = FrameRules.of(manifest.postprocessing[message.label], frame_s=manifest.frame_s)
    rate, frame = manifest.sample_rate, manifest.frame_samples
    look_ahead = manifest.latency_frames * frame
    median = rules.median // 2 * frame
    min_on = rules.min_on * frame
    needed = message.onset.sample + look_ahead + median + min_on
    hop = -needed % manifest.chunk_samples
    published = message.published.timestamp() + _HALF_MILLISECOND
    return OnsetLatency(
        label=message.label,
        look_ahead_s=look_ahead / rate,
        median_s=median / rate,
        min_on_s=min_on / rate,
        hop_s=hop / rate,
        compute_s=published - (began + (needed + hop) / rate),
        transport_s=arrived - published,
    )


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a daemon with one source needs.

    Attributes:
        start_up_s: from the start of the process to the first message computed from audio.
        resident_mb: memory held after ``audio_s`` seconds of audio, in 10^6 bytes.
        audio_s: how much audio it was given.
        speed: how many times faster than real time it took that audio.
    """

    start_up_s: float
    resident_mb: float
    audio_s: float
    speed: float


def footprint(bundle: Bundle, *, audio_s: float) -> Footprint:
    """Start a daemon, feed it ``audio_s`` of noise at full speed, and measure its memory."""
    manifest = bundle.manifest
    rate = manifest.sample_rate
    classes: Mapping[str, Mapping[str, Any]] = {
        label: {"enter": 0.0, "exit": 0.0, "max_on_s": None} for label in manifest.classes
    }
    noise = _noise(10 * rate)
    source = {"type": "pipe", "name": "bench", "rate": rate}
    with (
        ThreadPoolExecutor(1) as pool,
        DaemonProcess(bundle.folder, sources=[source], classes=classes) as daemon,
    ):
        feeding = pool.submit(daemon.feed, noise)
        first = daemon.wait_for(lambda m: isinstance(m, EventMessage))
        feeding.result()
        rounds = max(round(audio_s / 10.0) - 1, 1)
        begin = time.perf_counter()
        for _ in range(rounds):
            daemon.feed(noise)
        took = time.perf_counter() - begin
        resident = daemon.resident_mb()
    return Footprint(
        start_up_s=first - daemon.started_at,
        resident_mb=resident,
        audio_s=10.0 * (rounds + 1),
        speed=10.0 * rounds / took,
    )


def _noise(n: int) -> NDArray[np.int16]:
    noise = np.random.default_rng(0).standard_normal(n) * 1500.0
    return noise.astype(np.int16)
