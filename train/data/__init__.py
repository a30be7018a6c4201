"""Training data: the recording bank and the soundscapes that are mixed from it."""
