"""Built, installed in an empty environment away from the repository, and run there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.sockets import PATIENCE_S
from tests.train.tiny_bank import write_bank

ROOT = Path(__file__).parent.parent
MEGABYTES = 2**20
LARGEST_WHEEL = 8 * MEGABYTES
_LONG_S = 4 * PATIENCE_S

CLIENT = """
import sys
from importlib.abc import MetaPathFinder

ALLOWED = {"zmq", "pydantic", "pydantic_core", "annotated_types", "typing_extensions",
           "typing_inspection", "streamsed", *sys.stdlib_module_names}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED and not name.startswith("_"):
            raise ModuleNotFoundError(f"No module named {name!r} (a client has none)", name=name)

sys.meta_path.insert(0, Refuse())
from streamsed.client import EventMessage, Subscriber, DaemonMessage

with Subscriber(sys.argv[1], topics=["event/", "status/daemon/"]) as subscriber:
    print("subscribed", flush=True)
    for message in subscriber:
        match message:
            case EventMessage():
                print(message.kind, message.label, flush=True)
            case DaemonMessage(state="stopped"):
                break
"""


@dataclass(frozen=True)
class Installed:
    """An environment with streamsed from its wheel, and a folder to work in."""

    python: Path
    work: Path

    def environment(self) -> dict[str, str]:
        keep = {"LANG", "LC_ALL", "XDG_STATE_HOME"}
        kept = {key: value for key, value in os.environ.items() if key in keep}
        return kept | {
            "HOME": str(self.work),
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin",
        }

    def run(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python.parent / command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.work,
            env=self.environment(),
            timeout=_LONG_S,
        )


def build(source: Path, output: Path, *targets: str) -> list[Path]:
    before = set(output.glob("*"))
    kinds = [part for target in targets for part in ("-t", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", output, *kinds],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return sorted(set(output.glob("*")) - before)


def empty_environment(folder: Path, wheel: Path, *, dependencies: Path | None) -> Path:
    """Make an environment with a wheel in it; what it depends on is lent by this one."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    if dependencies is not None:
        # Only packages: editable installations are not followed from here.
        library = next((folder / "lib").glob("python*/site-packages"))
        (library / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    install = ["install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    return python


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and a source distribution, built from the working tree."""
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")
    return wheel, sdist


@pytest.fixture(scope="module")
def unpacked(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(distributions[1]) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of the source distribution, installed."""
    (wheel,) = build(unpacked, tmp_path_factory.mktemp("rebuilt"), "wheel")
    python = empty_environment(
        tmp_path_factory.mktemp("environment"),
        wheel,
        dependencies=Path(sysconfig.get_path("purelib")),
    )
    return Installed(python, tmp_path_factory.mktemp("work"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_source_distribution_is_complete_and_its_wheel_the_same(
    distributions: tuple[Path, Path], unpacked: Path, tmp_path: Path
) -> None:
    wheel, _ = distributions
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if tracked.returncode == 0:  # else this is a source distribution itself
        there = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
        present = {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()}
        assert present - there == set()
    (again,) = build(unpacked, tmp_path, "wheel")
    assert again.name == wheel.name, "the version"
    assert names(again) == names(wheel)
    assert wheel.stat().st_size < LARGEST_WHEEL
    odd = {name.split("/")[0] for name in names(wheel)} - {"streamsed", "train"}
    assert not odd, "top-level packages that nobody expects"


def test_metadata_names_licence_authors_and_commands(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as archive:
        (info,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        folder = info.removesuffix("METADATA")
        metadata = archive.read(info).decode()
        assert "License-Expression: MIT" in metadata
        for field in ("Author:", "Summary:", "Keywords:", "Requires-Python: >=3.11"):
            assert f"\n{field}" in metadata
        for name in ("LICENSE", "NOTICE"):
            assert archive.read(f"{folder}licenses/{name}") == (ROOT / name).read_bytes()
        commands = archive.read(f"{folder}entry_points.txt").decode()
    assert re.findall(r"^(\S+) = ", commands, re.MULTILINE) == ["streamsed", "streamsed-train"]


def test_check_bench_and_version(installed: Installed) -> None:
    version = installed.run("streamsed", "--version")
    assert re.fullmatch(r"streamsed \d+\.\d+\S*\n", version.stdout)
    checked = installed.run("streamsed", "check", "--bind", "tcp://127.0.0.1:*")
    assert checked.returncode == 0, checked.stderr
    assert "site-packages/streamsed/models/domestic" in checked.stdout
    bench = installed.run("streamsed", "bench", "--seconds", "1")
    assert (bench.returncode, bench.stderr) == (0, "")
    assert "bundle domestic" in bench.stdout


def test_the_example_runs(installed: Installed, unpacked: Path) -> None:
    demo = unpacked / "examples" / "demo.yaml"
    text = demo.read_text(encoding="utf-8")
    hurried = text.replace("path: kitchen.ogg", "path: kitchen.ogg\n    paced: false")
    assert hurried != text
    demo.write_text(hurried, encoding="utf-8")
    played = subprocess.run(
        ["bash", demo.with_name("demo.sh")],
        capture_output=True,
        text=True,
        check=False,
        env=installed.environment(),
        timeout=_LONG_S,
    )
    assert played.returncode == 0, played.stderr
    assert {"onset", "offset"} <= set(played.stdout.split())


def test_replay_scores_and_reports(installed: Installed) -> None:
    examples = ROOT / "examples"
    options = ("-o", "out", "--ground-truth", examples / "kitchen.tsv")
    replayed = installed.run("streamsed", "replay", examples / "kitchen.ogg", *options)
    assert replayed.returncode == 0, replayed.stderr
    assert (installed.work / "out" / "report.html").stat().st_size > 10_000


def test_training_from_the_wheel(installed: Installed) -> None:
    shown = installed.run("streamsed-train", "--help")
    assert shown.returncode == 0
    assert "calibrate" in shown.stdout
    bank = write_bank(installed.work / "bank")
    options = ("--bank", bank, "-o", "run", "--minutes", "0")
    fitted = installed.run("streamsed-train", "fit", "tiny-domestic", *options)
    assert fitted.returncode == 0, fitted.stderr
    assert "to be resumed" in fitted.stdout
    unknown = installed.run("streamsed-train", "fit", "tiny-domestik")
    assert unknown.returncode == 2
    assert "tiny-domestic" in unknown.stderr


def test_the_client_alone_is_light(
    installed: Installed, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (wheel,) = build(ROOT / "packaging" / "client", tmp_path_factory.mktemp("client"), "wheel")
    python = empty_environment(
        tmp_path / "environment", wheel, dependencies=Path(sysconfig.get_path("purelib"))
    )
    address = f"ipc://{tmp_path / 'socket'}"
    client = subprocess.Popen(
        [python, "-c", CLIENT, address],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=installed.environment(),
    )
    with client:
        try:
            check_client(client, installed, address=address, folder=tmp_path)
        finally:
            client.kill()


def check_client(
    client: subprocess.Popen[str], installed: Installed, *, address: str, folder: Path
) -> None:
    assert client.stdout is not None
    assert client.stdout.readline() == "subscribed\n"
    config = folder / "config.yaml"
    config.write_text(
        "sources: [{type: file, name: kitchen, paced: false, path: "
        f"{ROOT / 'examples' / 'kitchen.ogg'}}}]\n"
        f"publish: {{bind: ['{address}'], wait_for_subscriber_s: 60}}\n",
        encoding="utf-8",
    )
    ran = installed.run("streamsed", "run", "-c", config)
    assert ran.returncode == 0, ran.stderr
    out, _ = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 0
    assert out.count("onset Speech") == out.count("offset Speech") > 0


def test_the_containers_commands_name_what_there_is() -> None:
    """Without a builder: the file is read, and what it copies and runs is looked up."""
    lines = (ROOT / "packaging" / "Containerfile").read_text(encoding="utf-8")
    commands = re.sub(r"\\\n", " ", lines).splitlines()
    steps = [line.split(maxsplit=1) for line in commands if line and not line.startswith("#")]
    known = {
        *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE"),
        *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }
    assert {name for name, _ in steps} <= known
    assert [name for name, _ in steps].index("USER") < len(steps) - 1, "it does not run as root"
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            assert (ROOT / rest.split()[0]).exists()
    compose = yaml.safe_load((ROOT / "packaging" / "compose.yaml").read_text(encoding="utf-8"))
    for service in compose["services"].values():
        context = ROOT / "packaging" / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()
        extras = service["build"].get("args", {}).get("EXTRAS")
        optional = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        assert extras is None or extras in optional["project"]["optional-dependencies"]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / "packaging" / source).exists()
