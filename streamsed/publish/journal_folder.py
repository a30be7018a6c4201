"""The default folder of the journal."""

from __future__ import annotations

import os
from pathlib import Path


def state_directory() -> Path:
    """Return the service's or the user's directory for what outlives the process.

    ``$STATE_DIRECTORY``, as systemd sets it, else ``$XDG_STATE_HOME/streamsed``, else
    ``~/.local/state/streamsed``.
    """
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.split(":")[0])
    if user := os.environ.get("XDG_STATE_HOME"):
        return Path(user) / "streamsed"
    try:
        return Path.home() / ".local" / "state" / "streamsed"
    except RuntimeError:  # there is no home directory: an error when the journal is opened
        return Path("/nonexistent/streamsed")
