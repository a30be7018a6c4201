"""The image built as its file says and run by compose.yaml: events, health, restart and end.

Base images come from hubs, which not every machine reaches: here a Debian made anew is the base.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsed.client import DaemonMessage, EventMessage, Subscriber
from tests.sockets import PATIENCE_S, receive_until
from tests.test_install import ROOT, build

NEEDED = ("podman", "runc", "mmdebstrap")
RELEASE = "bookworm"
BASE = "localhost/debian"
# This machine may trust authorities beside the usual.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
USER_ID = 990
_BUILD_S = 1200.0

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a Debian, as root"),
    pytest.mark.skipif(None in map(shutil.which, NEEDED), reason=f"needs {', '.join(NEEDED)}"),
    pytest.mark.timeout(2 * _BUILD_S),
]

ENGINE = """
[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
CONFIG = """
sources: [{type: file, name: kitchen, path: /sockets/again.m3u}]
publish:
  bind: ["tcp://127.0.0.1:5577", "ipc:///sockets/events"]
  ipc_mode: "0666"
  wait_for_subscriber_s: 60
"""
# What a machine without sound card, hub and network gives it instead.
HERE = f"""
services:
  streamsed:
    build: {{args: {{BASE: {BASE}}}}}
    devices: !reset []
    network_mode: none
    volumes: ["../examples:/examples:ro", "../sockets:/sockets"]
"""


def run(*command: str | Path, timeout_s: float = PATIENCE_S) -> str:
    """Run a command and return what it prints; fail with the end of that."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}"
    return done.stdout


def make_debian(tarball: Path) -> None:
    """Make a small Debian without documentation, as the hubs' are."""
    left_out = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates"),
        *(f"--dpkgopt=path-exclude={path}" for path in left_out),
        "--dpkgopt=force-unsafe-io",
        f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}",
        *(RELEASE, tarball),
        timeout_s=_BUILD_S,
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Podman with images of its own, the base among them."""
    folder = tmp_path_factory.mktemp("podman")
    engine, storage = folder / "containers.conf", folder / "storage.conf"
    engine.write_text(ENGINE, encoding="utf-8")
    storage.write_text(STORAGE.format(folder=folder), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(engine))
        patch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        base = folder / "base.tar"
        try:
            make_debian(base)
            run("podman", "import", base, BASE, timeout_s=_BUILD_S)
            base.unlink()
            run("podman", "run", "--rm", "--network", "none", BASE, "true")
            pip = (sys.executable, "-m", "pip", "--isolated", "download", "--no-deps")
            run(*pip, "--dest", folder, "packaging")
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"this machine runs no containers, or reaches no packages: {error}")
        try:
            yield
        finally:
            run("podman", "pod", "rm", "--all", "--force")
            run("podman", "rm", "--all", "--force", "--time", "0")
            run("podman", "rmi", "--all", "--force", timeout_s=_BUILD_S)
            run("podman", "volume", "prune", "--force")
            for mounted in (folder / "images" / "overlay", folder / "images"):
                if mounted.is_mount():
                    run("umount", mounted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked, with a configuration, and what is particular here."""
    (sdist,) = build(ROOT, tmp_path_factory.mktemp("dist"), "sdist")
    unpacked = tmp_path_factory.mktemp("c")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (top,) = unpacked.iterdir()
    (top / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (top / "packaging" / "here.yaml").write_text(HERE, encoding="utf-8")
    sockets = top / "sockets"
    sockets.mkdir()
    os.chown(sockets, USER_ID, USER_ID)
    (sockets / "again.m3u").write_text("/examples/kitchen.ogg\n" * 20, encoding="utf-8")
    return top


def compose(folder: Path, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
    """Run podman-compose with the files of packaging/ and what is particular here."""
    files = ("-f", folder / "packaging" / "compose.yaml", "-f", folder / "packaging" / "here.yaml")
    command = Path(sys.executable).with_name("podman-compose")
    quick = "--podman-build-args=--layers=false"
    return run(command, *files, quick, *arguments, timeout_s=timeout_s)


def test_the_image_runs_as_compose_has_it(images: None, folder: Path) -> None:
    compose(folder, "build", "streamsed", timeout_s=_BUILD_S)
    compose(folder, "up", "--detach", "--no-build", "streamsed")
    try:
        check_running(folder)
    except AssertionError as error:
        pytest.fail(f"{error}\n{run('podman', 'logs', 'streamsed')}")


def check_running(folder: Path) -> None:
    """Receive events, over a restart, and end it."""
    first = first_onset(folder)
    assert run("podman", "exec", "streamsed", "id", "-un").strip() == "streamsed"
    assert "kitchen" in run("podman", "exec", "streamsed", "streamsed", "status")
    run("podman", "healthcheck", "run", "streamsed")
    with Subscriber(address(folder), topics=["event/", "status/daemon/"]) as subscriber:
        compose(folder, "restart", "streamsed")
        receive_until(subscriber, is_stopped)
        again = receive_until(subscriber, is_onset)[-1].seq
    assert again > first, "its state was kept"
    compose(folder, "stop", "streamsed")
    ended = run("podman", "inspect", "--format", "{{.State.ExitCode}}", "streamsed")
    assert ended.strip() == "0"


def is_onset(message: object) -> bool:
    return isinstance(message, EventMessage) and message.kind == "onset" and not message.replay


def is_stopped(message: object) -> bool:
    return isinstance(message, DaemonMessage) and message.state == "stopped"


def address(folder: Path) -> str:
    return f"ipc://{folder / 'sockets' / 'events'}"


def first_onset(folder: Path) -> int:
    """Return the number of the first onset's message."""
    with Subscriber(address(folder)) as subscriber:
        return receive_until(subscriber, is_onset)[-1].seq
