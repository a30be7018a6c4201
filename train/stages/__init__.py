"""Stages of training: one module a kind or a family of them, which registers itself."""
