"""Outcome of one recording; a line of the journal."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict

from streamsed.replay.recordings import Recording
from streamsed.sources.file_names import escape_name


class Outcome(BaseModel):
    """The result of one recording.

    Attributes:
        name: the recording's.
        path: where it was, with escapes for what is not text.
        size: of the file in bytes, when the replay began.
        mtime_ns: when the file was last written, when the replay began.
        duration_s: length of what was read; None if nothing was, and then there is no score file.
        events: how many were published.
        failure: why it could not be read, or not to its end; None if it was read.
        bad_samples: that were no samples (NaN, infinite, absurd) and count as silence.
        bad_steps: steps whose scores were no numbers, and count as 0, or were clipped.
        remark: what is odd about it, though it was read to its end: sizes that its header claims
            wrongly, a level at which little is detected; None for nothing.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    path: Path
    size: int
    mtime_ns: int
    duration_s: float | None
    events: int = 0
    failure: str | None = None
    bad_samples: int = 0
    bad_steps: int = 0
    remark: str | None = None

    @classmethod
    def of(
        cls,
        recording: Recording,
        *,
        duration_s: float | None = None,
        events: int = 0,
        failure: str | None = None,
        bad_samples: int = 0,
        bad_steps: int = 0,
        remark: str | None = None,
    ) -> Self:
        """Return the outcome of ``recording``; without a duration, nothing of it was read."""
        return cls(
            name=recording.name,
            path=_shown(recording),
            size=recording.size,
            mtime_ns=recording.mtime_ns,
            duration_s=duration_s,
            events=events,
            failure=failure and escape_name(failure.removeprefix(f"{recording.path}: ")),
            bad_samples=bad_samples,
            bad_steps=bad_steps,
            remark=remark,
        )

    @property
    def stem(self) -> str:
        """The recording's name without its extension."""
        return str(PurePosixPath(self.name).with_suffix(""))

    def holds_for(self, recording: Recording) -> bool:
        """Whether the recording is whole, done, and still the same file."""
        return (
            self.failure is None
            and self.path == _shown(recording)
            and (self.size, self.mtime_ns) == (recording.size, recording.mtime_ns)
        )


def _shown(recording: Recording) -> Path:
    return Path(escape_name(str(recording.path)))
