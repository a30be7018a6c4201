"""What all parts of the configuration share: unknown keys are errors, and nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PositiveSeconds = Annotated[float, Field(gt=0.0, le=3600.0)]


class Strict(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{str(path)!r}: there is no such user's home directory") from error


UserPath = Annotated[Path, AfterValidator(_expanded)]
"""A path in which ``~`` is the home directory."""
