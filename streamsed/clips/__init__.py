"""Recordings of the audio around events."""
