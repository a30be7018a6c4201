"""Job: what a replay runs, in a form that travels to other processes and machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import streamsed.bundle
from streamsed.bundle.manifest import MANIFEST_FILE, ClassPostprocessing
from streamsed.config import Config, Provider
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.errors import BundleError
from streamsed.sources.gain import GainDb
from streamsed.sources.mono import Channel

STEPS_AT_ONCE = 16  # nothing waits for decisions


@dataclass(frozen=True, slots=True)
class Job:
    """How recordings are replayed, and where the results go. Picklable.

    Attributes:
        folder: of the results, absolute.
        bundle: folder of the model bundle, absolute.
        manifest_sha256: of the bundle's manifest, in hex.
        provider: configured hardware.
        require_gpu: whether running without a GPU is an error.
        threads: inside one operator.
        max_batch: the most recordings that one process computes together.
        postprocessing: for each class.
        fusion_weights: by member, in place of the manifest's.
        update_every_s: seconds of an event between updates; 0 for none.
        disabled: classes whose events are left out.
        channel: of each recording; see :data:`streamsed.sources.mono.Channel`.
        gain_db: of each recording; see :data:`streamsed.sources.gain.GainDb`.
    """

    folder: Path
    bundle: Path
    manifest_sha256: str
    provider: Provider
    require_gpu: bool
    threads: int
    max_batch: int
    postprocessing: Mapping[str, ClassPostprocessing]
    fusion_weights: Mapping[str, float] | None
    update_every_s: float
    disabled: frozenset[str]
    channel: Channel = "mix"
    gain_db: GainDb = 0.0

    @classmethod
    def of(
        cls, config: Config, folder: Path, *, channel: Channel = "mix", gain_db: GainDb = 0.0
    ) -> Self:
        """Take from a configuration what a replay needs.

        Raises:
            BundleError: the bundle is missing or corrupt.
            ConfigError: the configuration does not fit the bundle.
        """
        bundle = streamsed.bundle.load(config.bundle_folder)
        return cls(
            folder=folder.absolute(),
            bundle=bundle.folder.absolute(),
            manifest_sha256=_sha256(bundle.folder / MANIFEST_FILE),
            provider=config.provider,
            require_gpu=config.require_gpu,
            threads=config.threads,
            max_batch=config.max_batch,
            postprocessing=config.postprocessing(bundle.manifest),
            fusion_weights=config.fusion_weights(bundle.manifest),
            update_every_s=config.detect.update_every_s,
            disabled=config.disabled,
            channel=channel,
            gain_db=gain_db,
        )

    def engine(self) -> Engine:
        """Return this process's engine, which is made on the first call.

        Raises:
            BundleError: the bundle is missing, corrupt, or not the one that the job was made for.
            ProviderError: the hardware that is required cannot be used.
        """
        return _engine(
            self.bundle,
            self.manifest_sha256,
            provider=self.provider,
            require_gpu=self.require_gpu,
            threads=self.threads,
            max_batch=self.max_batch,
        )

    def detector(self) -> Detector:
        """Return a new detector on this process's engine, as the daemon's but for keeping scores.

        Raises:
            ConfigError: the postprocessing does not fit the bundle.
        """
        return Detector(
            self.engine(),
            self.postprocessing,
            fusion_weights=self.fusion_weights,
            update_every_s=self.update_every_s,
            steps_at_once=STEPS_AT_ONCE,
            keep_filtered=True,
        )


def forget_engine() -> None:
    """Give this process's engine up: streams were left open in it."""
    _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine(
    folder: Path,
    manifest_sha256: str,
    *,
    provider: Provider,
    require_gpu: bool,
    threads: int,
    max_batch: int,
) -> Engine:
    if _sha256(folder / MANIFEST_FILE) != manifest_sha256:
        raise BundleError(f"{folder}: the bundle is not the one that the replay began with")
    bundle = streamsed.bundle.load(folder)
    return Engine(
        bundle, provider=provider, require_gpu=require_gpu, threads=threads, max_batch=max_batch
    )


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
