"""Recipes: what a run learns, read from layers of YAML."""
