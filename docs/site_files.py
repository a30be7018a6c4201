"""What the site takes from outside ``docs/``: every file of the repository that a page links to."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = "repository"
_LINK = re.compile(r"(\]\()\.\./([^)#\s]+)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^):#\s]+)\)")


def on_files(files: Any, *, config: Any) -> Any:
    """Add what pages link to by ``../``; GitHub shows these links as they stand."""
    from mkdocs.structure.files import File  # noqa: PLC0415

    wanted = [page.content_string for page in files.documentation_pages()]
    seen: set[str] = set()
    while wanted:
        for _, name in _LINK.findall(wanted.pop()):
            path = ROOT / name
            if name in seen or not path.is_file():  # mkdocs reports what is not there
                continue
            pictures = _pictures(path) if path.suffix == ".md" else []
            for each in {name, *pictures} - seen:
                of = str(ROOT / each)
                files.append(File.generated(config, f"{FOLDER}/{each}", abs_src_path=of))
            seen |= {name, *pictures}
    return files


def _pictures(page: Path) -> list[str]:
    """Return what a page outside of ``docs/`` shows, by names from the root on."""
    names = _PICTURE.findall(page.read_text(encoding="utf-8"))
    paths = [page.parent / name for name in names]
    return [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Let links out of ``docs/`` lead to the copies."""
    if page.file.src_uri.startswith(f"{FOLDER}/"):
        return markdown
    return _LINK.sub(lambda link: f"{link[1]}{FOLDER}/{normpath(link[2])}", markdown)
