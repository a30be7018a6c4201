"""A machine for a test: this system's /usr, booted by systemd in a container of its own.

Nothing of this machine is written to: /usr is there read-only, with what `make install-service`
puts into a tree of its own laid over it. The network is shared, so that a test can subscribe.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).parents[2]
BOOT_S = 90.0
PATIENCE_S = 60.0
_USERS = """\
root:x:0:0:root:/root:/bin/sh
listener:x:1000:1000::/srv/listener:/bin/sh
messagebus:x:100:102::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""


class NoMachineError(Exception):
    """This machine cannot boot another; the message says why."""


def requirements() -> None:
    """Raise NoMachineError if something is missing that is seen at once."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoMachineError("only root can boot a container")
    if shutil.which("systemd-nspawn") is None:
        raise NoMachineError("there is no systemd-nspawn; Debian has it in systemd-container")
    if not Path("/usr/lib/systemd/systemd").exists() or not Path("/bin").is_symlink():
        raise NoMachineError("this system's /usr alone does not boot")


def lay_out(tree: Path) -> None:
    """Make the root directory of a system that has all its programs in /usr."""
    for name in ("dev", "etc", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if Path("/", name).is_symlink() and not (tree / name).is_symlink():
            (tree / name).symlink_to(Path("/", name).readlink())
    for name in ("group", "ld.so.cache", "nsswitch.conf", "os-release"):
        shutil.copy(Path("/etc", name), tree / "etc" / name)
    (tree / "etc/passwd").write_text(_USERS, encoding="utf-8")
    (tree / "etc/machine-id").write_text("", encoding="utf-8")


def install(tree: Path) -> None:
    """Install the service into the tree, as a user would."""
    subprocess.run(
        ["make", "--silent", "install-service", f"DESTDIR={tree}"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


class Machine:
    """A booted machine.

    Attributes:
        tree: its root directory, but for what is mounted.
    """

    def __init__(self, tree: Path, nspawn: subprocess.Popen[bytes], console: Path) -> None:
        self.tree = tree
        self._nspawn = nspawn
        self._console = console
        self._leader = ""

    def wait_for_boot(self) -> None:
        """Wait until systemd is up.

        Raises:
            NoMachineError: it does not come up.
        """
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        deadline = monotonic() + BOOT_S
        state = "not started"
        while monotonic() < deadline and self._nspawn.poll() is None:
            self._leader = (children.read_text().split() or [""])[0]
            if self._leader:
                state = self.run("systemctl", "is-system-running", check=False).strip()
                if state in {"running", "degraded"}:
                    return
            sleep(0.1)
        output = " ".join(self._console.read_text(errors="replace").split())
        raise NoMachineError(f"systemd does not boot ({state}): {output[-500:]}")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return what it prints."""
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--root", "--wd", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if check and done.returncode:
            log = self.run("journalctl", "--no-pager", "-n", "50", "-o", "cat", check=False)
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}\n{log}")
        return done.stdout

    def property(self, name: str) -> str:
        """Return a property of the service."""
        return self.run("systemctl", "show", "streamsed", f"--property={name}", "--value").strip()

    def journal(self) -> list[str]:
        """Return what the service manager and the service have logged."""
        unit = ("-u", "streamsed")
        return self.run("journalctl", "--no-pager", "-o", "cat", *unit).splitlines()


@contextmanager
def booted(tree: Path, console: Path) -> Iterator[Machine]:
    """Boot the tree; it is halted at the end.

    Args:
        tree: laid out, and with the service installed.
        console: file for what the machine says while it boots.

    Raises:
        NoMachineError: it does not boot.
    """
    command = [
        "systemd-nspawn",
        "--boot",
        f"--directory={tree}",
        f"--overlay-ro=/usr:{tree}/usr:/usr",
        f"--machine=streamsed-test-{os.getpid()}",
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--console=pipe",
        "--quiet",
    ]
    with console.open("wb") as output:
        nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    machine = Machine(tree, nspawn, console)
    try:
        machine.wait_for_boot()
        yield machine
    finally:
        nspawn.terminate()  # halts the machine
        try:
            nspawn.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()
