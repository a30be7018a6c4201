"""Pipeline: bundle, engine and detector as configured, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import streamsed.bundle
from streamsed.bundle import Bundle
from streamsed.config import Config
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.publish.messages import BundleName
from streamsed.service.levels import report_interval_s


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A configuration with its bundle loaded, verified and running its self-test.

    Attributes:
        config: that it was built from.
        bundle: verified.
        engine: has passed the self-test on the hardware that it will use.
        detector: with the configured postprocessing, and no sources yet.
    """

    config: Config
    bundle: Bundle
    engine: Engine
    detector: Detector

    @classmethod
    def of(cls, config: Config) -> Self:
        """Load and verify everything that the configuration names, but its sources and sockets.

        Raises:
            BundleError: the bundle is missing, corrupt, or fails its self-test.
            ProviderError: the hardware that is required cannot be used.
            ConfigError: the configuration does not fit the bundle.
        """
        bundle = streamsed.bundle.load(config.bundle_folder)
        # Before the engine, which takes a second to fail for a mistake seen in no time.
        config.check_bundle(bundle.manifest)
        engine = Engine(
            bundle,
            provider=config.provider,
            require_gpu=config.require_gpu,
            threads=config.threads,
            max_batch=config.max_batch,
        )
        return cls(config=config, bundle=bundle, engine=engine, detector=_detector(engine, config))

    def revised(self, config: Config) -> Self:
        """Build another pipeline beside this one, with its engine if the same would be loaded.

        Raises:
            BundleError: the bundle is missing, corrupt, or fails its self-test.
            ProviderError: the hardware that is required cannot be used.
            ConfigError: the configuration does not fit the bundle.
        """
        bundle = streamsed.bundle.load(config.bundle_folder)
        if bundle.manifest != self.bundle.manifest or _hardware(config) != _hardware(self.config):
            return type(self).of(config)
        detector = _detector(self.engine, config)
        return replace(self, config=config, bundle=bundle, detector=detector)

    @property
    def bundle_name(self) -> BundleName:
        """The bundle, for messages."""
        return BundleName(name=self.bundle.manifest.name, version=self.bundle.manifest.version)

    @property
    def bundle_line(self) -> str:
        """The bundle, for people."""
        manifest = self.bundle.manifest
        hop_s = manifest.chunk_samples / manifest.sample_rate
        return (
            f"{manifest.name} {manifest.version} from {self.bundle.folder}: "
            f"{len(manifest.classes)} classes, {manifest.sample_rate} Hz, hop {hop_s:g} s"
        )

    @property
    def provider_line(self) -> str:
        """The hardware that really runs, for people."""
        report = self.engine.report
        asked = f" ({report.fallback})" if report.fallback else ""
        batch = f"batches of up to {report.max_batch}"
        if report.max_batch < report.requested_batch:
            batch += f" (asked for {report.requested_batch}, which would change scores)"
        return f"{report.provider}{asked}, {report.threads} thread(s), {batch}"

    def class_rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the settings and the latency of each class: see :data:`CLASS_COLUMNS`."""
        entries = self.config.postprocessing(self.bundle.manifest)
        for label in self.bundle.manifest.classes:
            entry, latency = entries[label], self.detector.latency(label)
            limit = "-" if entry.max_on_s is None else f"{entry.max_on_s:g}"
            yield (
                label,
                "no" if label in self.config.disabled else "yes",
                f"{entry.enter:g}",
                f"{entry.exit:g}",
                f"{entry.median_s:g}",
                f"{entry.min_on_s:g}",
                f"{entry.min_off_s:g}",
                limit,
                f"{latency.total_s:.2f}",
            )


def _hardware(config: Config) -> tuple[object, ...]:
    return config.provider, config.require_gpu, config.threads, config.max_batch


def _detector(engine: Engine, config: Config) -> Detector:
    return Detector(
        engine,
        config.postprocessing(engine.manifest),
        fusion_weights=config.fusion_weights(engine.manifest),
        update_every_s=config.detect.update_every_s,
        level_every_s=report_interval_s(config.publish.levels_every_s),
    )


CLASS_COLUMNS = (
    "class",
    "enabled",
    "enter",
    "exit",
    "median_s",
    "min_on_s",
    "min_off_s",
    "max_on_s",
    "latency_s",
)
"""``latency_s``: from onset to decision at most: hop, look-ahead, half the median, min_on."""
