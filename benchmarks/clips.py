"""What recording clips costs detection: the same ten minutes with and without, in turns."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
import soundfile
import soxr

from streamsed.clips.recorder import ClipRecorder
from streamsed.config import Config
from streamsed.detect.events import Kind
from streamsed.detect.step_result import StepResult
from streamsed.service.clips import start_recorder
from streamsed.service.pipeline import Pipeline
from streamsed.sources.block import Block

KITCHEN = Path("examples/kitchen.ogg")
BUNDLE = Path("models/domestic")
AUDIO_S = 600
BLOCK_S = 0.032  # as a microphone delivers them
TURNS = 5


def main() -> None:
    """Print the processor time of the thread that detects, and how the two compare."""
    without: list[float] = []
    recorded: list[float] = []
    with TemporaryDirectory() as folder:
        for _ in range(TURNS):
            for enabled, spent in ((False, without), (True, recorded)):
                clips = {"enabled": enabled, "path": folder, "max_mb": 100.0}
                config = Config.model_validate({"bundle": BUNDLE, "clips": clips})
                spent.append(detect(Pipeline.of(config)))
        kept = list(Path(folder).iterdir())
    ratio = median(b / a for a, b in zip(without, recorded, strict=True))
    print(f"processor time of detection, {AUDIO_S} s of audio: {median(without):.2f} s")
    print(f"with clips: {median(recorded):.2f} s, {ratio:.3f} times as much; {len(kept)} clips")


def detect(pipeline: Pipeline) -> float:
    """Detect the events; return the seconds of this thread's processor time."""
    rate = pipeline.bundle.manifest.sample_rate
    audio = kitchen(rate)
    recorder = start_recorder(pipeline)
    detector = pipeline.detector
    detector.add("kitchen")
    size = round(BLOCK_S * rate)
    began = time.thread_time()
    for first in range(0, len(audio), size):
        block = Block(audio[first : first + size], first)
        if recorder is not None:
            recorder.add("kitchen", block)
        detector.push("kitchen", block)
        result = detector.step()
        if recorder is not None and result is not None:
            record(recorder, result)
    spent_s = time.thread_time() - began
    if recorder is not None:
        recorder.close(60.0)
    return spent_s


def record(recorder: ClipRecorder, result: StepResult) -> None:
    """Give the recorder a step, as the daemon does."""
    for found in result.transitions:
        event_id = UUID(int=found.number)
        if found.kind is Kind.ONSET:
            recorder.begin(
                found.source,
                event_id,
                label=found.label,
                onset_sample=found.onset_sample,
                utc=datetime.now(UTC) + timedelta(seconds=found.number),
            )
        elif found.offset_sample is not None:
            recorder.end(found.source, event_id, offset_sample=found.offset_sample)
    for scored in result.frames:
        recorder.advance(scored)


def kitchen(rate: int) -> np.ndarray:
    """Return ten minutes of the example, again and again, as ``(n,)`` float32."""
    audio, own_rate = soundfile.read(KITCHEN, dtype="float32")
    return np.resize(soxr.resample(audio, own_rate, rate), AUDIO_S * rate)


if __name__ == "__main__":
    main()
