"""What :mod:`streamsed.client` is made of: every message once, in order."""
