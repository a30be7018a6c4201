"""The ``streamsed`` command, one module a subcommand."""
