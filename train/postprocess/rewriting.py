"""A bundle with other postprocessing: written beside its place, and then moved there whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamsed.bundle import load, write_manifest
from streamsed.bundle.manifest import MANIFEST_FILE, ClassPostprocessing
from streamsed.errors import ConfigError, StreamsedError

CARD_FILE = "card.md"
CALIBRATION = "Calibration"
REPLACED_SECTIONS = (CALIBRATION, "Thresholds and windows")
"""Sections of a card that a calibration makes out of date."""
KEPT_FIGURES = "as_exported"


class BundleWriteError(StreamsedError):
    """A bundle could not be written; what was there before is there still."""


def check_writable(target: Path, *, replace: bool) -> None:
    """Check, before long work, that a bundle can be written.

    Args:
        target: the bundle's folder, to be.
        replace: whether it may be there already.

    Raises:
        ConfigError: it cannot, or it is there and must not be.
    """
    if not replace and target.exists():
        raise ConfigError(f"{target}: is there already; a new folder, or --write, would be right")
    try:
        target.resolve().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".streamsed-", dir=target.resolve().parent):
            pass
    except OSError as error:
        raise ConfigError(
            f"{target}: cannot be written: {target.resolve().parent}: {error.strerror}"
        ) from error


def write_calibrated(
    bundle: Path,
    target: Path,
    *,
    postprocessing: Mapping[str, ClassPostprocessing],
    card_section: str,
    figures: Mapping[str, Any],
    version: str | None = None,
) -> None:
    """Write a bundle as it is but for its postprocessing, and what describes it.

    The manifest's figures become those ``as_exported``, beside ``calibration``. The card's
    section on calibration is replaced, and so is the export's on thresholds.

    Args:
        bundle: folder of the bundle; it may be ``target``.
        target: where to; what is there is replaced in one move.
        postprocessing: by class.
        card_section: Markdown below the heading.
        figures: for the manifest, plain YAML values.
        version: of the new bundle; by default that of the old.

    Raises:
        BundleWriteError: it cannot be written; ``target`` is as it was.
    """
    target = target.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
            draft = Path(beside) / target.name
            _write_draft(bundle, draft, postprocessing, card_section, figures, version)
            load(draft)  # as the daemon will
            move_into_place(draft, target, Path(beside) / "before")
    except OSError as error:
        raise BundleWriteError(f"{target}: cannot be written: {error.strerror}") from error


def _write_draft(
    bundle: Path,
    draft: Path,
    postprocessing: Mapping[str, ClassPostprocessing],
    card_section: str,
    figures: Mapping[str, Any],
    version: str | None,
) -> None:
    manifest = load(bundle).manifest
    # All of it, also what the manifest does not name: nobody wants to lose a file of theirs.
    shutil.copytree(bundle, draft)
    card = draft / CARD_FILE
    before = card.read_text(encoding="utf-8") if card.is_file() else f"# {manifest.name}\n"
    card.write_text(with_section(before, card_section), encoding="utf-8")
    content = manifest.model_dump(mode="json", by_alias=True, exclude={"files"})
    scores = content["provenance"]["scores"]
    exported = scores.get(KEPT_FIGURES, {k: v for k, v in scores.items() if k != "calibration"})
    content["provenance"]["scores"] = {KEPT_FIGURES: exported, "calibration": dict(figures)}
    content["postprocessing"] = {k: v.model_dump(mode="json") for k, v in postprocessing.items()}
    content["version"] = version or manifest.version
    (draft / MANIFEST_FILE).unlink()
    write_manifest(draft, content, files=[CARD_FILE, *manifest.files])


def move_into_place(draft: Path, target: Path, before: Path) -> None:
    """Put the folder ``draft`` in the place of ``target``, which goes to ``before``.

    Raises:
        OSError: it cannot; ``target`` is as it was.
    """
    there = target.exists()
    if there:
        target.rename(before)
    try:
        draft.rename(target)
    except OSError:
        if there:
            before.rename(target)
        raise


def with_section(card: str, body: str) -> str:
    """Return a card with a section on calibration, in the place of what it replaces."""
    sections = _sections(card)
    place = next(
        (i for i, (heading, _) in enumerate(sections) if heading in REPLACED_SECTIONS),
        len(sections),
    )
    kept_before = sections[:place]
    kept_after = [s for s in sections[place:] if s[0] not in REPLACED_SECTIONS]
    new = (CALIBRATION, f"## {CALIBRATION}\n\n{body.strip()}\n")
    return "\n".join(text.rstrip() + "\n" for _, text in (*kept_before, new, *kept_after))


def _sections(card: str) -> list[tuple[str | None, str]]:
    """Part a card at its second headings; what comes before the first has no heading."""
    sections: list[tuple[str | None, list[str]]] = [(None, [])]
    fenced = False
    for line in card.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            sections.append((line.removeprefix("## ").strip(), []))
        sections[-1][1].append(line)
    return [(heading, "\n".join(lines)) for heading, lines in sections]
