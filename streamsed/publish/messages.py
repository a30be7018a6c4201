"""The messages that subscribers receive.

A message is two ZeroMQ frames: the topic, then UTF-8 JSON. The ``schema`` field names the model
below that the JSON follows. Fields are only ever added to a schema version; readers ignore unknown
fields.

Events, status and daemon messages are numbered: ``seq`` rises by one from message to message,
whatever their kind and over restarts, so a subscriber to everything sees any loss as a jump.
Heartbeats have no number of their own; they carry the last one given, so that a loss at the end
shows as well. Levels have none either: each replaces the one before it, and nothing keeps them.

When a client subscribes, the latest messages of open events and the last status messages on these
topics are sent again, to all who subscribe to them: with ``replay`` true, and the number that they
had. Drop those that were received before.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
)

from streamsed.detect.events import Kind, Reason
from streamsed.redaction import redacted

DAEMON = "daemon"
"""No source may have this name: ``status/daemon/`` is the daemon's own topic."""


def rfc3339(moment: datetime) -> str:
    """Format as RFC 3339 in UTC with milliseconds, such as ``2026-01-02T03:04:05.352Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Utc = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda s: round(s, 6))]
Decibels = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda d: round(d, 2))]
Probability = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(lambda p: round(p, 4))]
Note = Annotated[str, AfterValidator(redacted)]  # for people; may quote a URL


class Part(BaseModel):
    """Base of everything that is published or answered."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",  # readers accept fields of later versions
        json_schema_serialization_defaults_required=True,
    )


class Moment(Part):
    """A place in a source's audio.

    Attributes:
        seconds: since the first sample after the source was opened, or came back.
        sample: index at the bundle's sample rate.
        utc: when that sample was captured; for audio that is not read in real time, when it would
            have been, had it begun with the reading.
    """

    seconds: Seconds
    sample: int
    utc: Utc


class EventScore(Part):
    """Filtered scores of an event so far.

    Attributes:
        current: of the latest frame.
        peak: the highest.
        mean: of all frames.
    """

    current: Probability
    peak: Probability
    mean: Probability


class BundleName(Part):
    """Which bundle the scores come from.

    Attributes:
        name: as in its manifest.
        version: as in its manifest.
    """

    name: str
    version: str


class _Message(Part):
    """What all messages have in common.

    Attributes:
        published: when it was handed over to be sent.
    """

    schema_: str = Field(alias="schema")

    @property
    def topic(self) -> bytes:
        """First frame of the message; ends in a slash."""
        raise NotImplementedError

    def frames(self) -> tuple[bytes, bytes]:
        """Topic and UTF-8 JSON."""
        return self.topic, self.model_dump_json(by_alias=True).encode()


class _Numbered(_Message):
    """What messages with a number have in common.

    Attributes:
        seq: its number, one more than that of the message before, of whatever kind.
        replay: whether it was published before and is sent again for a new subscriber.
    """

    seq: Count
    replay: bool = False


class EventMessage(_Numbered):
    """The onset, an update or the offset of one event: topic ``event/<source>/<label>/``.

    Attributes:
        kind: onset, update or offset.
        event_id: the same in all messages of one event; never used again.
        source: name of the source.
        label: class of the event.
        onset: beginning of the event.
        offset: end of the event; null until the offset message.
        duration: from onset to offset, in seconds; null until the offset message.
        reason: why the event ended; null until the offset message.
        latency_ms: wall clock from the moment of the onset (of an offset message: the offset) to
            publication; null for updates and for sources not read in real time.
        clip: of an offset message, where the recording of the event lies on the daemon's machine,
            once the audio after it has come too; null if there is none.
    """

    schema_: Literal["streamsed.event/1"] = Field("streamsed.event/1", alias="schema")
    kind: Kind
    event_id: UUID
    source: str
    label: str
    onset: Moment
    offset: Moment | None
    duration: Seconds | None
    score: EventScore
    reason: Reason | None
    latency_ms: float | None
    bundle: BundleName
    clip: str | None = None
    published: Utc

    @property
    def topic(self) -> bytes:
        """``event/<source>/<label>/``."""
        return f"event/{self.source}/{self.label}/".encode()


class SourceState(StrEnum):
    """The state of a source.

    ``connecting``: no audio yet. ``running``: audio arrives. ``silent``: audio arrives, for long
    nothing but zeros. ``stalled``: open, but no audio arrives. ``lost``: not open; it may be opened
    again. ``ended``: at its end.
    """

    CONNECTING = "connecting"
    RUNNING = "running"
    SILENT = "silent"
    STALLED = "stalled"
    LOST = "lost"
    ENDED = "ended"


class SourceCondition(Part):
    """State and counters of a source: in its status messages and in every heartbeat.

    Attributes:
        source: its name.
        state: ``ended``, ``lost`` and ``stalled`` come after the offsets of all its events.
        since: when it came to this state; null from old daemons.
        message: for people: why it was lost, what was dropped; null if there is nothing to report.
        position: end of the audio processed so far; null before the first. Samples and seconds
            count anew each time that a lost source comes back.
        reconnections: how many times it came back.
        lost_samples: lost before they reached the daemon (device overruns, a network).
        dropped_samples: dropped by the daemon because it could not keep up.
        bad_samples: values that were no samples (NaN, infinite); they count as silence.
        overload_bursts: how many times it began to drop.
        overloaded: whether audio is being dropped now.
    """

    source: str
    state: SourceState
    since: Utc | None = None
    message: Note | None = None
    position: Moment | None = None
    lost_samples: Count = 0
    dropped_samples: Count = 0
    bad_samples: Count = 0
    reconnections: Count = 0
    overload_bursts: Count = 0
    overloaded: bool = False


class StatusMessage(SourceCondition, _Numbered):
    """A change of a source's state: topic ``status/<source>/``."""

    schema_: Literal["streamsed.status/1"] = Field("streamsed.status/1", alias="schema")
    published: Utc

    @property
    def topic(self) -> bytes:
        """``status/<source>/``."""
        return f"status/{self.source}/".encode()


class DaemonState(StrEnum):
    """The state of the daemon; nothing follows ``stopped``."""

    STARTED = "started"
    RELOADED = "reloaded"
    RELOAD_REFUSED = "reload_refused"
    STOPPING = "stopping"
    STOPPED = "stopped"


class DaemonMessage(_Numbered):
    """The daemon started, reloaded its configuration or stops: topic ``status/daemon/``.

    Attributes:
        state: of the daemon.
        version: of streamsed.
        provider: the ONNX Runtime execution provider that really runs.
        message: for people: why it stops, what it changed, or why it did not.
    """

    schema_: Literal["streamsed.daemon/1"] = Field("streamsed.daemon/1", alias="schema")
    state: DaemonState
    message: Note | None
    version: str
    provider: str
    bundle: BundleName
    published: Utc

    @property
    def topic(self) -> bytes:
        """``status/daemon/``."""
        return f"status/{DAEMON}/".encode()


class JournalState(StrEnum):
    """Whether messages are journaled before they are sent."""

    ON = "on"
    OFF = "off"
    DEGRADED = "degraded"


class JournalCondition(Part):
    """The state of the journal.

    Attributes:
        state: ``degraded`` while it cannot be written, though it should.
        message: for people: why.
    """

    state: JournalState
    message: str | None = None


class LogState(StrEnum):
    """Whether log lines are written."""

    ON = "on"
    DEGRADED = "degraded"


class LogCondition(Part):
    """The state of the log.

    Attributes:
        state: ``degraded`` while it cannot be written.
        message: for people: why.
        dropped_lines: how many lines could not be written so far.
    """

    state: LogState = LogState.ON
    message: str | None = None
    dropped_lines: Count = 0


class Heartbeat(_Message):
    """Proof of life at a fixed interval: topic ``heartbeat/``.

    Attributes:
        last_seq: number of the last numbered message; 0 before the first.
        interval_s: until the next heartbeat.
        uptime_s: since the daemon started.
        version: of streamsed.
        provider: the ONNX Runtime execution provider that really runs.
        sources: the state of each.
        requests_answered: whether there is a socket for requests.
    """

    schema_: Literal["streamsed.heartbeat/1"] = Field("streamsed.heartbeat/1", alias="schema")
    last_seq: Count
    interval_s: float
    uptime_s: float
    version: str
    provider: str
    bundle: BundleName
    sources: tuple[SourceCondition, ...]
    journal: JournalCondition = JournalCondition(state=JournalState.OFF)
    log: LogCondition = LogCondition()
    requests_answered: bool = True
    published: Utc

    TOPIC: ClassVar[bytes] = b"heartbeat/"

    @property
    def topic(self) -> bytes:
        """``heartbeat/``."""
        return self.TOPIC


class ClassScore(Part):
    """The score of one class.

    Attributes:
        label: the class.
        score: its score.
    """

    label: str
    score: Probability


class Level(Part):
    """Level and highest scores of some audio of a source.

    0 dBFS is a sample of 1: a sine of full scale has an RMS of -3.01 dBFS.

    Attributes:
        end: end of the audio.
        duration: of the audio, in seconds.
        rms_dbfs: root mean square; null for digital silence.
        peak_dbfs: largest magnitude; null for digital silence.
        clipped_samples: how many reached full scale.
        digital_silence: whether every sample was exactly 0.
        top: the classes that scored highest, best first, each with its highest score before the
            median filter: a class whose score stays below its `enter` makes no events.
    """

    end: Moment
    duration: Seconds
    rms_dbfs: Decibels | None
    peak_dbfs: Decibels | None
    clipped_samples: Count
    digital_silence: bool
    top: tuple[ClassScore, ...]


class LevelMessage(Level, _Message):
    """The level of a source since the message before: topic ``status/<source>/level/``.

    Sent only if ``levels_every_s`` is set.

    Attributes:
        source: name of the source.
    """

    schema_: Literal["streamsed.level/1"] = Field("streamsed.level/1", alias="schema")
    source: str
    published: Utc

    @property
    def topic(self) -> bytes:
        """``status/<source>/level/``."""
        return f"status/{self.source}/level/".encode()


NumberedMessage = EventMessage | StatusMessage | DaemonMessage
AnyMessage = NumberedMessage | Heartbeat | LevelMessage
Message = Annotated[AnyMessage, Field(discriminator="schema_")]
MESSAGE: TypeAdapter[AnyMessage] = TypeAdapter(Message)
