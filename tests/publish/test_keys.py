"""Files of keys: written once, safe from others, read with a word for each mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import KeysError
from streamsed.publish.keys import CurveKeys, KeyPair, is_key, public_key, write_public


def test_a_pair_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    before = os.umask(0)
    try:
        public, secret = pair.write(tmp_path / "keys", "laptop")
    finally:
        os.umask(before)
    assert (public.name, secret.name) == ("laptop.key", "laptop.key_secret")
    assert [path.stat().st_mode & 0o777 for path in (public, secret)] == [0o644, 0o600]
    assert KeyPair.read(secret) == pair
    assert public_key(public) == public_key(secret) == public_key(pair.public) == pair.public
    assert pair.secret not in public.read_text() + repr(pair)


def test_pyzmq_reads_our_files_and_we_read_its(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    public, secret = pair.write(tmp_path, "ours")
    assert zmq.auth.load_certificate(public) == (pair.public.encode(), None)
    assert zmq.auth.load_certificate(secret) == (pair.public.encode(), pair.secret.encode())
    theirs_public, theirs_secret = map(Path, zmq.auth.create_certificates(tmp_path, "theirs"))
    theirs_secret.chmod(0o600)
    assert KeyPair.read(theirs_secret).public == public_key(theirs_public)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    first = KeyPair.generate()
    public, secret = first.write(tmp_path, "a")
    for missing in (public, secret):
        missing.rename(tmp_path / "aside")
        with pytest.raises(KeysError, match=r"a\.key(_secret)?: exists"):
            KeyPair.generate().write(tmp_path, "a")
        (tmp_path / "aside").rename(missing)
    assert KeyPair.read(secret) == first
    with pytest.raises(KeysError, match="exists"):
        write_public(public, first.public)


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "-a", "a b", "a\n", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="is no name"):
        KeyPair.generate().write(tmp_path, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    _, secret = KeyPair.generate().write(tmp_path, "a")
    secret.chmod(mode)
    with pytest.raises(KeysError, match=rf"mode 0{mode:o}.*chmod 600"):
        KeyPair.read(secret)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_group_may_share_what_belongs_to_root_and_nothing_else(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    _, secret = pair.write(tmp_path, "a")
    secret.chmod(0o640)
    assert KeyPair.read(secret) == pair
    os.chown(secret, 12345, -1)
    with pytest.raises(KeysError, match="belongs to another user"):
        KeyPair.read(secret)


def test_mistakes_are_told_apart(tmp_path: Path) -> None:
    pair, other = KeyPair.generate(), KeyPair.generate()
    public, secret = pair.write(tmp_path, "a")
    with pytest.raises(KeysError, match="no such file; `streamsed keys new`"):
        KeyPair.read(tmp_path / "b.key_secret")
    public.chmod(0o600)
    with pytest.raises(KeysError, match=r"NAME\.key_secret"):
        KeyPair.read(public)
    secret.write_text(f'public-key = "{other.public}"\nsecret-key = "{pair.secret}"\n')
    with pytest.raises(KeysError, match="does not belong to its secret key"):
        KeyPair.read(secret)
    (tmp_path / "noise.key").write_bytes(os.urandom(1000))
    with pytest.raises(KeysError, match="holds no public key"):
        public_key(tmp_path / "noise.key")
    with pytest.raises(KeysError, match="no such file"):
        public_key("not-a-key-and-not-a-file")
    with pytest.raises(KeysError, match="is no regular file"):
        public_key(tmp_path)
    with pytest.raises(KeysError, match="holds no public key"):
        CurveKeys.read(server=tmp_path / "noise.key", own=secret)


@given(st.one_of(st.text(), st.text(st.characters(codec="ascii"), min_size=40, max_size=40)))
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    if is_key(text):
        zmq.curve_public(text.encode())  # takes what is 32 bytes in Z85


def test_a_key_is_known_as_one() -> None:
    assert is_key(KeyPair.generate().public)
    assert not is_key("#" * 40)  # digits of Z85, but more than 32 bits
