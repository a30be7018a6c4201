"""Optional parts of the installation."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

from streamsed.errors import ConfigError

_EVAL = ("jinja2", "matplotlib", "pandas", "psds_eval", "sed_eval", "sed_scores_eval")


def require_eval() -> None:
    """Make sure that ``streamsed.evaluate`` can be imported, before anything else is done.

    Raises:
        ConfigError: the extra ``eval`` is not installed; with the command that installs it.
    """
    missing = [name for name in _EVAL if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"evaluation needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed: pip install 'streamsed[eval]'"
        )
    # Theirs to mend, and nothing that a user could do anything about.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", append=False)


def require_cluster() -> None:
    """Make sure that ``streamsed.replay.cluster`` can be imported.

    Raises:
        ConfigError: the extra ``cluster`` is not installed; with the command that installs it.
    """
    if find_spec("distributed") is None:
        raise ConfigError(
            "--scheduler needs distributed, which is not installed: pip install "
            "'streamsed[cluster]', here and on all workers"
        )
