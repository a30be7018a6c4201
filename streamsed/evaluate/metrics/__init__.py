"""Metrics: what the criteria give at one operating point, over several, and resampled."""
