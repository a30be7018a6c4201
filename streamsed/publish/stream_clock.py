"""Stream clock: where a source's samples lie in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4, uuid5

from streamsed.publish.messages import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamClock:
    """Ties the sample index of one opening of a source to UTC and to event ids.

    Attributes:
        started_at: UTC of sample 0.
        sample_rate: Hz.
        real_time: whether the audio is captured as it happens, so that latency is defined.
        stream_id: made anew at each opening.
    """

    started_at: datetime
    sample_rate: int
    real_time: bool
    stream_id: UUID = field(default_factory=uuid4)

    def moment(self, sample: int) -> Moment:
        """Return where ``sample`` lies, in seconds and in UTC."""
        seconds = sample / self.sample_rate
        utc = self.started_at + timedelta(seconds=seconds)
        return Moment(seconds=seconds, sample=sample, utc=utc)

    def event_id(self, number: int) -> UUID:
        """Identify the event that the decoder counts as ``number`` on this stream.

        Derived (UUID version 5) rather than drawn, so that nothing has to remember the ids of
        open events; unique over restarts and re-openings because ``stream_id`` is random.
        """
        return uuid5(self.stream_id, str(number))
