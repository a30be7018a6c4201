"""``python -m streamsed`` is the ``streamsed`` command, and this is where that begins, too."""

from __future__ import annotations

import sys

from streamsed.early_signals import StoppedEarlyError, end_by, hold_signals


def main() -> None:
    """Entry point of the ``streamsed`` command."""
    if "run" in sys.argv[1:]:
        hold_signals()  # before the second that the imports take
    try:
        from streamsed.cli.main import main as run_command  # noqa: PLC0415

        run_command()
    except StoppedEarlyError as stop:
        if sys.stderr is not None:
            sys.stderr.write(f"streamsed: stopped by {stop} while loading\n")
            sys.stderr.flush()
        end_by(stop.number)


if __name__ == "__main__":
    main()
