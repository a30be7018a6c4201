"""Model bundles: manifest, graphs, verification."""

from streamsed.bundle.bundle import Bundle, SelfTest
from streamsed.bundle.finding import DEFAULT_BUNDLE, find_bundle
from streamsed.bundle.loading import load
from streamsed.bundle.manifest import ClassPostprocessing, Manifest, Member, StateTensor
from streamsed.bundle.writing import write_manifest, write_selftest

__all__ = [
    "DEFAULT_BUNDLE",
    "Bundle",
    "ClassPostprocessing",
    "Manifest",
    "Member",
    "SelfTest",
    "StateTensor",
    "find_bundle",
    "load",
    "write_manifest",
    "write_selftest",
]
