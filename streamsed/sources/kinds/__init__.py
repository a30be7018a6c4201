"""Kinds of sources, each in a file that registers it; nothing else names them."""
