"""Models: each one is a step function with explicit state."""
