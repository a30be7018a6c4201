"""Measuring what this machine can do: streams a core, latency, start-up, memory."""
