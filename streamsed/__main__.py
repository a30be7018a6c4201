"""``python -m streamsed`` is the ``streamsed`` command."""

from streamsed.cli.main import main

if __name__ == "__main__":
    main()
