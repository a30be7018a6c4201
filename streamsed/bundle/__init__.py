"""Model bundles: manifest, graphs, verification."""

from streamsed.bundle.bundle import Bundle, SelfTest
from streamsed.bundle.loading import load
from streamsed.bundle.manifest import ClassPostprocessing, Manifest, Member, StateTensor
from streamsed.bundle.writing import write_manifest, write_selftest

__all__ = [
    "Bundle",
    "ClassPostprocessing",
    "Manifest",
    "Member",
    "SelfTest",
    "StateTensor",
    "load",
    "write_manifest",
    "write_selftest",
]
