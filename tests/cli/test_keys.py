"""``streamsed keys``, and the way from making keys to hearing events with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streamsed.cli.main import invoke
from streamsed.publish.keys import KeyPair, public_key
from tests.cli.command import execute, process
from tests.sockets import RANDOM_PORT


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that succeeds, in this process; return what it prints."""
    assert invoke(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def error_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that is refused; return the one line that says why."""
    assert invoke(arguments) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    return output.strip()


def configure(bundle: Path, wav: Path, **publish: object) -> None:
    content = {
        "bundle": str(bundle),
        "sources": [{"type": "file", "name": "kitchen", "path": str(wav), "paced": False}],
        "publish": {"bind": ["tcp://*:*"], "wait_for_subscriber_s": 60.0, **publish},
    }
    Path("config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


CURVE = {"secret_key": "keys/server.key_secret", "clients": "keys/clients"}


def test_from_making_keys_to_hearing_events(
    capsys: pytest.CaptureFixture[str], bundle: Path, wav: Path
) -> None:
    run(capsys, "keys", "new", "server")
    shown = run(capsys, "keys", "new", "laptop", "--folder", "mine").splitlines()[-1]
    assert run(capsys, "keys", "show", "mine/laptop.key") == f"{shown}\n"
    configure(bundle, wav, curve=CURVE)
    run(capsys, "keys", "allow", "mine/laptop.key")
    assert run(capsys, "keys", "list").split()[-2:] == ["laptop", shown]
    checked = run(capsys, "check").splitlines()
    assert checked[-2:] == [
        f"keys      required; the daemon's is {public_key('keys/server.key')}",
        "clients   laptop may connect: keys/clients",
    ]
    with process("run", "--log-format", "json") as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        address = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        keys = ("--server-key", "keys/server.key", "--key", "mine/laptop.key_secret")
        with process("listen", "--connect", address, *keys, "--until-stop") as listener:
            received = listener.out.rest()
            assert listener.wait() == 0
        assert daemon.wait() == 0
    assert [line for line in received if "offset" in line]


def test_the_folder_of_clients_is_made_beside_the_configuration(
    capsys: pytest.CaptureFixture[str], bundle: Path, wav: Path
) -> None:
    Path("etc").mkdir()
    configure(bundle, wav, curve=CURVE)
    Path("config.yaml").rename("etc/config.yaml")
    key = KeyPair.generate().public
    run(capsys, "keys", "allow", key, "--name", "phone", "-c", "etc/config.yaml")
    assert public_key(Path("etc/keys/clients/phone.key")) == key
    assert not Path("keys").exists()


def test_a_key_may_be_given_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    pair = KeyPair.generate()
    where = ("--clients", "clients")
    assert "--name is missing" in error_line(capsys, "keys", "allow", pair.public, *where)
    run(capsys, "keys", "allow", pair.public, "--name", "phone", *where)
    assert public_key(Path("clients/phone.key")) == pair.public
    assert "allowed already, as 'phone'" in error_line(
        capsys, "keys", "allow", pair.public, "--name", "tablet", *where
    )
    other = KeyPair.generate().public
    assert "clients/phone.key: exists" in error_line(
        capsys, "keys", "allow", other, "--name", "phone", *where
    )
    assert "did you mean 'phone'?" in error_line(capsys, "keys", "deny", "fone", *where)
    run(capsys, "keys", "deny", "phone", *where)
    assert "no client may connect" in run(capsys, "keys", "list", *where)


def test_no_secret_is_handed_out(capsys: pytest.CaptureFixture[str]) -> None:
    output = run(capsys, "keys", "new", "laptop", "--folder", ".")
    secret = KeyPair.read(Path("laptop.key_secret")).secret
    output += run(capsys, "keys", "show", "laptop.key_secret")
    output += run(capsys, "keys", "allow", "laptop.key_secret", "--clients", "clients")
    assert (
        secret
        not in output + Path("clients/laptop.key").read_text() + Path("laptop.key").read_text()
    )


def test_what_is_wrong_with_keys_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str], bundle: Path, wav: Path
) -> None:
    configure(bundle, wav)
    assert "make keys with `streamsed keys new server`" in error_line(capsys, "check")
    configure(bundle, wav, curve=CURVE)
    assert "keys/server.key_secret: no such file; `streamsed keys new`" in error_line(
        capsys, "check"
    )
    run(capsys, "keys", "new", "server")
    assert "keys/clients: no such folder; `streamsed keys allow` makes it" in error_line(
        capsys, "check"
    )
    Path("keys/clients").mkdir()
    assert "clients   none may connect: keys/clients" in run(capsys, "check")
    Path("keys/clients/broken.key").write_text("nothing", encoding="utf-8")
    assert "client    cannot connect: keys/clients/broken.key: holds no public" in run(
        capsys, "check"
    )
    Path("keys/server.key_secret").chmod(0o644)
    refusal = error_line(capsys, "check")
    assert "can be read by others (mode 0644); chmod 600 it" in refusal
    assert execute("run").stderr.strip() == refusal


def test_there_is_no_folder_of_clients_unless_named(
    capsys: pytest.CaptureFixture[str], bundle: Path, wav: Path
) -> None:
    configure(bundle, wav, bind=[RANDOM_PORT])
    assert "config.yaml: publish.curve is not set" in error_line(capsys, "keys", "list")


@pytest.mark.parametrize("missing", ["--key", "--server-key"])
def test_one_key_is_not_enough_to_listen(capsys: pytest.CaptureFixture[str], missing: str) -> None:
    given = {"--key": "laptop.key_secret", "--server-key": "server.key"}
    del given[missing]
    assert f"streamsed: {missing} is missing" in error_line(
        capsys, "listen", *(word for pair in given.items() for word in pair)
    )
