"""The daemon: threads, supervision, shutdown."""
