"""ClipRecorder: from the audio of sources and the events in it to clips."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from streamsed.clips.folder import clip_name
from streamsed.clips.recent import RecentAudio
from streamsed.clips.writer import ClipFile, ClipWriter
from streamsed.detect.events import ScoredFrames
from streamsed.sources.block import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipExtent:
    """What a clip covers, in samples.

    Attributes:
        pre: before the onset.
        post: after the offset.
        longest: of a clip; what is beyond is not recorded.
        lag: by how much an onset or offset may lie before the end of what has been decoded when
            it is decided, at the most.
        frame_samples: of a frame of scores.
        piece: what is handed over at once, at the least.
    """

    pre: int
    post: int
    longest: int
    lag: int
    frame_samples: int
    piece: int


@dataclass(slots=True)
class _Clip:
    """A clip that is not whole: what is sent, and where it ends as far as is known."""

    file: ClipFile
    next_sample: int
    end_sample: int
    ended: bool = False  # whether the event has ended, and ``end_sample`` is final
    whole: bool = False  # whether all of it is sent


@dataclass(slots=True)
class _Track:
    """What is kept of one source."""

    recent: RecentAudio = field(default_factory=RecentAudio)
    clips: dict[UUID, _Clip] = field(default_factory=dict)


class ClipRecorder:
    """Keeps the latest audio of every source, and hands that around events to the writer.

    Audio goes to disk as an event goes on, as far behind what has been decoded as its end may
    yet turn out to lie. Methods are for the detection thread and only move references, but for
    :meth:`close`.
    """

    def __init__(
        self,
        writer: ClipWriter,
        extent: ClipExtent,
        *,
        folder: Path,
        sources: Collection[str] | None = None,
        classes: Collection[str] | None = None,
    ) -> None:
        """Record nothing yet.

        Args:
            writer: started.
            extent: of the clips.
            folder: where they will lie.
            sources: those that are recorded; None for all.
            classes: those whose events are recorded; None for all.
        """
        self._writer = writer
        self._extent = extent
        self._folder = folder
        self._sources = sources
        self._classes = classes
        self._tracks: dict[str, _Track] = {}

    @property
    def failing(self) -> str | None:
        """Why clips cannot be written; None while they can. Any thread may read it."""
        return self._writer.failing

    def follow(self, extent: ClipExtent) -> None:
        """Go on with another extent; what is open ends by it."""
        self._extent = extent

    def add(self, source: str, block: Block) -> None:
        """Take the next audio of a source, whose samples are not written to afterwards."""
        if self._sources is None or source in self._sources:
            track = self._tracks.get(source)
            if track is None:
                track = self._tracks[source] = _Track()
            track.recent.append(block)

    def begin(
        self, source: str, event_id: UUID, *, label: str, onset_sample: int, utc: datetime
    ) -> None:
        """Begin a clip at the onset of an event, if it is wanted."""
        track = self._tracks.get(source)
        if track is None or (self._classes is not None and label not in self._classes):
            return
        name = clip_name(utc=utc, source=source, label=label, event_id=event_id)
        first = max(onset_sample - self._extent.pre, track.recent.first_sample)
        file = ClipFile(self._folder / name)
        track.clips[event_id] = _Clip(file, first, first + self._extent.longest)
        self._writer.prepare(file, first_sample=first)

    def end(self, source: str, event_id: UUID, *, offset_sample: int) -> Path | None:
        """Note the offset of an event.

        Returns:
            Where its clip lies, or will once the audio after the event has come; None if there is
            none, or no room for it on the disk.
        """
        track = self._tracks.get(source)
        clip = track.clips.get(event_id) if track is not None else None
        if track is None or clip is None:
            return None
        clip.ended = True
        clip.end_sample = min(clip.end_sample, offset_sample + self._extent.post)
        self._send(track, event_id, clip, upto=clip.end_sample)
        promised = self._writer.promise(clip.file, end_sample=clip.end_sample)
        return clip.file.path if promised else None

    def advance(self, decoded: ScoredFrames) -> None:
        """Send what has become certain, and forget what no clip will need.

        Args:
            decoded: frames of a source whose events have been noted.
        """
        track = self._tracks.get(decoded.source)
        if track is None:
            return
        extent = self._extent
        samples = len(decoded.scores) * extent.frame_samples
        decoded_sample = decoded.first_frame_sample + samples
        certain = decoded_sample - extent.lag + extent.post
        for event_id, clip in tuple(track.clips.items()):
            upto = clip.end_sample if clip.ended else min(certain, clip.end_sample)
            self._send(track, event_id, clip, upto=upto)
        track.recent.drop(min(decoded_sample - extent.lag - extent.pre, certain) - extent.piece)

    def forget(self, source: str) -> None:
        """End a source, whose events have all ended; its clips end with its audio."""
        track = self._tracks.pop(source, None)
        if track is not None:
            for event_id, clip in tuple(track.clips.items()):
                clip.ended = True
                clip.end_sample = min(clip.end_sample, track.recent.end_sample)
                self._send(track, event_id, clip, upto=clip.end_sample)

    def close(self, timeout_s: float) -> None:
        """Finish every clip with what there is, and write for as long as there is time."""
        for source in tuple(self._tracks):
            self.forget(source)
        self._writer.close(timeout_s)

    def _send(self, track: _Track, event_id: UUID, clip: _Clip, *, upto: int) -> None:
        """Hand over audio to before ``upto``, as far as there is any; end a whole clip."""
        upto = min(upto, track.recent.end_sample)
        whole = upto >= clip.end_sample
        if not clip.whole and (whole or upto - clip.next_sample >= self._extent.piece):
            blocks = track.recent.between(clip.next_sample, upto)
            self._writer.put(clip.file, blocks, last=whole)
            clip.next_sample = upto
            clip.whole = whole
        if clip.whole and clip.ended:
            del track.clips[event_id]
