"""Kinds of sinks, each in a file that registers it; nothing else names them."""
