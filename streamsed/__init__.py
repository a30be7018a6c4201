"""streamsed: streaming sound event detection."""

__version__ = "0.1.0"
