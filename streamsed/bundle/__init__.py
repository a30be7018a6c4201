"""Model bundles: manifest, graphs, verification."""
