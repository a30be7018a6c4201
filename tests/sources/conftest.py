"""Fixtures of the source tests."""

from tests.pulse import pulse

__all__ = ["pulse"]
