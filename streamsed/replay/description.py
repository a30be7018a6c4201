"""``replay.json``: what was run, and whether the same would be run again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from streamsed import __version__
from streamsed.errors import ConfigError
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.job import Job, forget_engine

SCHEMA = "streamsed.replay/1"


def describe(job: Job) -> dict[str, Any]:
    """Return everything that the results depend on, beside the recordings.

    The job's engine and detector are made for it once, so that what is wrong with them is reported
    before anything else is done.

    Raises:
        BundleError: the bundle is missing, corrupt, or fails its self-test.
        ProviderError: the hardware that is required cannot be used.
        ConfigError: the postprocessing does not fit the bundle.
    """
    job.detector()
    report, manifest = job.engine().report, job.engine().manifest
    forget_engine()  # it is other processes that use one
    weights = {m.name: m.weight for m in manifest.members} | dict(job.fusion_weights or {})
    return {
        "schema": SCHEMA,
        "streamsed": __version__,
        "bundle": {
            "name": manifest.name,
            "version": manifest.version,
            "manifest_sha256": job.manifest_sha256,
        },
        "provider": report.provider,
        "classes": list(manifest.classes),
        "sample_rate": manifest.sample_rate,
        "frame_s": manifest.frame_s,
        "postprocessing": {
            label: job.postprocessing[label].model_dump() for label in manifest.classes
        },
        "fusion_weights": weights,
        "update_every_s": job.update_every_s,
        "disabled": sorted(job.disabled),
        "channel": job.channel,
        "gain_db": job.gain_db,
    }


def write_description(folder: ReplayFolder, description: Mapping[str, Any]) -> None:
    """Write ``replay.json``."""
    with folder.written(folder.description) as file:
        json.dump(description, file, indent=2, ensure_ascii=False)
        file.write("\n")


def check_same(folder: ReplayFolder, description: Mapping[str, Any]) -> None:
    """Compare with what an earlier replay wrote.

    Raises:
        ConfigError: its results would be mixed with others; names the first difference.
    """
    path = folder.description
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read; replay with --overwrite") from error
    # By way of JSON, where a tuple is a list.
    differences = _differences(before, json.loads(json.dumps(description)), "")
    if (first := next(differences, None)) is not None:
        raise ConfigError(
            f"{path}: {first}; resume with what it began with, or replay with --overwrite"
        )


def _differences(before: Any, now: Any, key: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*before, *now)):
            path = f"{key}.{name}" if key else name
            yield from _differences(before.get(name), now.get(name), path)
    elif before != now:
        yield f"{key} was {json.dumps(before)} and is now {json.dumps(now)}"
