"""What holds for all tests."""

from hypothesis import settings

# An example may take as long as a busy machine makes it take; no test is about time.
settings.register_profile("streamsed", settings.default, deadline=None)
settings.load_profile("streamsed")
