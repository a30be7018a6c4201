"""Sinks: what takes recorded messages elsewhere, each in a thread of its own."""
