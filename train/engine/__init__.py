"""The loop that runs every recipe, its networks by name, and what it leaves behind."""
