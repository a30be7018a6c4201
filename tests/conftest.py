"""What holds for all tests."""

import signal

from hypothesis import settings

# An example may take as long as a busy machine makes it take; no test is about time.
settings.register_profile("streamsed", settings.default, deadline=None)
settings.load_profile("streamsed")

# A shell starts background jobs with SIGINT ignored, and processes inherit that: Ctrl-C, which
# some tests send to the processes that they start, would do nothing in such a job.
signal.signal(signal.SIGINT, signal.default_int_handler)
