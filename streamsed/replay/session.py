"""Session: one recording on its way through the detector, and the files that it leaves."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

import numpy as np

from streamsed.bundle.manifest import Manifest
from streamsed.detect.events import FilteredFrames, Kind, Reason, Transition
from streamsed.detect.loudness import Loudness
from streamsed.errors import SourceError
from streamsed.publish import message_builders
from streamsed.publish.messages import BundleName
from streamsed.publish.stream_clock import StreamClock
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import Recording
from streamsed.replay.score_writer import ScoreFileWriter
from streamsed.sources.block import Block
from streamsed.sources.file import AudioFile
from streamsed.sources.gain import GainDb, make_gain
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import EndOfSource

_EPOCH = datetime.fromtimestamp(0, UTC)

# What the daemon would draw by lot, or read off a clock.
_BY_CHANCE: dict[str, Any] = {
    "seq": True,
    "event_id": True,
    "published": True,
    "onset": {"utc"},
    "offset": {"utc"},
}


class RecordingSession:
    """Reads one recording and writes what is detected in it, as it is detected.

    The files get their names only when they are whole.

    Args:
        recording: to be read.
        manifest: the bundle's.
        folder: of the replay.
        channel: that is used.
        gain_db: of all recordings.

    Attributes:
        name: the recording's.
        ended: why no more audio comes; None before the end.
        processed_samples: at the bundle's rate, so far.
        bad_samples: that the detector refused; the source has a count of its own.
        bad_steps: whose scores were no numbers, or outside 0 to 1.

    Raises:
        SourceError: the recording cannot be opened; no file was made.
    """

    def __init__(
        self,
        recording: Recording,
        manifest: Manifest,
        folder: ReplayFolder,
        *,
        channel: Channel,
        gain_db: GainDb,
    ) -> None:
        self.name = recording.name
        self.ended: Reason | None = None
        self.processed_samples = 0
        self.bad_samples = 0
        self.bad_steps = 0
        self._recording = recording
        self._folder = folder
        self._rate = manifest.sample_rate
        self._failure: str | None = None
        self._events = 0
        self._bundle = BundleName(name=manifest.name, version=manifest.version)
        self._clock = StreamClock(
            started_at=_EPOCH, sample_rate=self._rate, real_time=True, stream_id=UUID(int=0)
        )
        self._source = AudioFile(recording.name, recording.path, paced=False, channel=channel)
        self._source.gain = make_gain(gain_db)
        self._loudness = Loudness(self._rate, first_s=math.inf)
        self._source.open(self._rate)
        self._files: list[tuple[TextIO, Path]] = []
        try:
            self._messages = self._create(folder.messages(recording))
            self._scores = ScoreFileWriter(
                self._create(folder.scores(recording)),
                manifest.classes,
                frame_samples=manifest.frame_samples,
                sample_rate=self._rate,
            )
        except BaseException:
            self.discard()
            raise

    def read(self) -> Block | None:
        """Return the next audio; None at the end, whose reason is :attr:`ended`."""
        try:
            while (block := self._source.read(1.0)) is None:
                pass
        except EndOfSource:
            self.ended = Reason.END_OF_STREAM
        except SourceError as error:
            self.ended, self._failure = Reason.SOURCE_LOST, str(error)
        except Exception as error:  # a fault in one source must not cost the others
            self.ended, self._failure = Reason.SOURCE_LOST, f"internal error: {error!r}"
        else:
            self.processed_samples = block.end_sample
            self._loudness.add(
                energy=float(np.dot(block.samples, block.samples)),
                samples=len(block.samples),
                mix_loss_db=self._source.mix_loss_db,
            )
            return block
        return None

    def write_event(self, transition: Transition) -> None:
        """Write the message of a transition, its latency on the clock of the samples."""
        decided = timedelta(seconds=transition.decided_sample / self._rate)
        builder = message_builders.event(transition, clock=self._clock, bundle=self._bundle)
        message = builder(0, _EPOCH + decided)
        self._messages.write(message.model_dump_json(by_alias=True, exclude=_BY_CHANCE) + "\n")
        self._events += transition.kind is Kind.ONSET

    def write_scores(self, frames: FilteredFrames) -> None:
        """Write frames to the score file."""
        self._scores.add(frames.first_frame_sample, frames.scores)

    def finish(self) -> Outcome:
        """Close the files and give them their names; return the outcome."""
        self._source.close()
        self._loudness.end()
        self._scores.end(self.processed_samples)
        for file, final in self._files:
            file.close()
            Path(file.name).replace(final)
        return Outcome.of(
            self._recording,
            duration_s=self.processed_samples / self._rate,
            events=self._events,
            failure=self._failure,
            bad_samples=self.bad_samples + self._source.unusable_samples,
            bad_steps=self.bad_steps,
            remark="; ".join(filter(None, (self._source.remark, self._loudness.remark))) or None,
        )

    def discard(self) -> None:
        """Give up: close everything, and leave no file."""
        self._source.close()
        for file, _ in self._files:
            with contextlib.suppress(OSError):
                file.close()
            Path(file.name).unlink(missing_ok=True)

    def _create(self, final: Path) -> TextIO:
        """Open a file that is to become ``final``."""
        final.parent.mkdir(parents=True, exist_ok=True)
        file = self._folder.partial_file().open("x", encoding="utf-8", newline="\n")
        self._files.append((file, final))
        return file
