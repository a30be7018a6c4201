"""Metrics of the field, each through the field's own library. Needs the extra ``eval``."""
