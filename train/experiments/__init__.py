"""Plans: graphs of steps in YAML, each made of what others made. What is done is reused."""
