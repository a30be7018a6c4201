"""README and docs/: short, current, complete, built strictly; what they name is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import soxr
import typer.main

from streamsed.cli.main import app

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS]
LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The module that writes the generated parts."""
    spec = spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 6 * 1024


@pytest.mark.parametrize("name", ["configuration.md", "messages.md"])
def test_generated_pages_are_current_and_describe_everything(
    generate: ModuleType, name: str
) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    generated = generate.PAGES[name]()
    assert generate.replaced(text, generated) == text, "make docs writes it anew"
    rows = [line for line in generated.splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == [], "no line in the docstring"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_pages_link_to_and_run_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("https:", "mailto:")):
            assert (page.parent / target).exists(), target
    for script in re.findall(r"\bbenchmarks/\w+\.py", text):
        assert (ROOT / script).is_file(), script
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in re.findall(r"(?:^    |`|/bin/)streamsed ([a-z]+)", text, re.MULTILINE):
        assert command in commands, command


class Loads(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADS and given.get("rel") != "canonical":
            self.found.append(given.get(LOADS[tag]) or "")


@pytest.mark.slow
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr
    for page in DOCS:
        html = (tmp_path / page.name).with_suffix(".html").read_text(encoding="utf-8")
        loads = Loads()
        loads.feed(html)
        assert loads.found
        assert [link for link in loads.found if re.match(r"(https?:)?//", link)] == []
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text())


def test_the_library_in_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is written there; in a folder that has the recording."""
    samples, rate = soundfile.read(ROOT / "examples" / "kitchen.ogg", frames=40 * 44_100)
    soundfile.write(tmp_path / "talk.flac", samples, rate)
    pushed = soxr.resample(samples.astype("float32"), rate, 48_000)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 8
    printed: list[tuple[object, ...]] = []
    names: dict[str, object] = {
        "blocks": [pushed[i : i + 4800] for i in range(0, len(pushed), 4800)],
        "print": lambda *values: printed.append(values),
    }
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)  # noqa: S102
    labels = {values[0] for values in printed if values[0] not in {"began", "ended"}}
    assert "Speech" in labels
    assert {"began", "ended"} <= {values[0] for values in printed}
