"""The recorder of clips, as configured."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from streamsed.ages import Ages
from streamsed.clips.folder import ClipFolder
from streamsed.clips.recorder import ClipExtent, ClipRecorder
from streamsed.clips.writer import ClipWriter
from streamsed.config.publishing import JournalConfig
from streamsed.publish.daemon_status import ClipsCondition, ClipsState
from streamsed.service.pipeline import Pipeline

_AGES_NAME = "clips.clock"
_BESIDE_BYTES = 8 * 2**20  # the journal's write-ahead log and its ledger, and some

log = structlog.get_logger()


def start_recorder(pipeline: Pipeline) -> ClipRecorder | None:
    """Start the thread that writes clips, if there are to be any."""
    config, rate = pipeline.config.clips, pipeline.bundle.manifest.sample_rate
    if not config.enabled:
        return None
    path = config.path.absolute()
    folder = ClipFolder(
        path,
        keep=timedelta(days=config.keep_days),
        max_bytes=round(config.max_mb * 2**20),
        ages=Ages(pipeline.config.journal.path.absolute() / _AGES_NAME),
        spare_bytes=partial(_spare_bytes, pipeline.config.journal, path),
    )
    writer = ClipWriter(folder, sample_rate=rate)
    writer.start()
    log.info("recording_clips", folder=str(path))
    return ClipRecorder(
        writer,
        clip_extent(pipeline),
        folder=path,
        sources=None if config.sources is None else frozenset(config.sources),
        classes=None if config.classes is None else frozenset(config.classes),
    )


def _spare_bytes(journal: JournalConfig, folder: Path) -> int:
    """Return what the journal may yet need of the disk that the clips are on.

    That is what it may grow by, but no more than a quarter of the disk, with which it lives on a
    small one. What lies beside it takes a little, too.
    """
    try:
        status = folder.stat()
        if not journal.enabled or journal.path.stat().st_dev != status.st_dev:
            return 0
        disk = os.statvfs(folder)
        sizes = (path.stat().st_size for path in journal.path.iterdir() if path.is_file())
        left = round(journal.max_mb * 2**20) + _BESIDE_BYTES - sum(sizes)
    except OSError:  # one of them is not there, or went just now
        return 0
    return min(max(_BESIDE_BYTES, left), disk.f_blocks * disk.f_frsize // 4)


def clips_condition(recorder: ClipRecorder | None) -> ClipsCondition:
    """Return the state of recording; any thread may call it."""
    if recorder is None:
        return ClipsCondition(state=ClipsState.OFF)
    if recorder.failing is None:
        return ClipsCondition(state=ClipsState.ON)
    return ClipsCondition(state=ClipsState.FAILING, message=recorder.failing)


def clip_extent(pipeline: Pipeline) -> ClipExtent:
    """Return what a clip covers, and how late the detector decides what it covers."""
    config, manifest = pipeline.config.clips, pipeline.bundle.manifest
    rate = manifest.sample_rate
    return ClipExtent(
        pre=round(config.pre_s * rate),
        post=round(config.post_s * rate),
        longest=round(config.max_clip_s * rate),
        lag=_lag(pipeline),
        frame_samples=manifest.frame_samples,
        piece=rate,
    )


def _lag(pipeline: Pipeline) -> int:
    """Return the samples that an onset or an offset may lie behind what has been decoded."""
    manifest = pipeline.bundle.manifest
    lag_s = max(
        pipeline.detector.latency(label).median_s + max(entry.min_on_s, entry.min_off_s)
        for label, entry in pipeline.config.postprocessing(manifest).items()
    )
    # Durations are rounded up to frames, and the last frame of what was decoded is not over.
    return round(lag_s * manifest.sample_rate) + 2 * manifest.frame_samples
