"""Detection: a pure function from samples to events. Knows nothing of sockets or clocks."""
