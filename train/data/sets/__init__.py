"""What runs learn from: one module a kind of data, which registers itself."""
