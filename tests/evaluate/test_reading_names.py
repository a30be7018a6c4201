"""Which recording a name means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import DataError
from streamsed.evaluate.reading.naming import RecordingNames, base_name, without_extension


def match(known: list[str], asked: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    found = RecordingNames(known, origin="truth.tsv").match(asked, origin="events.tsv")
    return dict(found.known), found.unknown


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("a.wav", "a.wav"),
        ("a.wav", "a"),
        ("a", "a.flac"),
        ("a.wav", "audio/a.flac"),
        ("audio/a.wav", "a"),
        ("a.wav", "/data/x/a.wav"),
        ("a.wav", "C:\\data\\a.WAV"),
        ("Y1_30.000_40.000.wav", "Y1_30.000_40.000"),
        ("a.mp3", "a.wav"),
    ],
)
def test_names_of_one_recording(recording: str, name: str) -> None:
    assert match([recording, "other.wav"], [name]) == ({name: recording}, ())


@pytest.mark.parametrize(
    ("recording", "name"), [("a.wav", "b.wav"), ("Y1_30.000.wav", "Y1_30"), ("a.wav", "a.txt")]
)
def test_names_of_different_recordings(recording: str, name: str) -> None:
    assert match([recording], [name]) == ({}, (name,))


def test_the_exact_name_comes_first() -> None:
    assert match(["a.wav", "a.flac"], ["a.flac"])[0] == {"a.flac": "a.flac"}
    assert match(["x/a.wav", "a.wav"], ["a.wav", "x/a.wav"])[1] == ()
    assert match(["a.wav"], ["a.mp3", "a.wav"]) == ({"a.wav": "a.wav"}, ("a.mp3",))


@pytest.mark.parametrize(
    ("known", "asked", "named"),
    [
        (["a.wav", "a.flac"], ["a"], ("'a'", "'a.wav'", "'a.flac'")),
        (["x/a.wav", "y/a.wav"], ["a.wav"], ("'a.wav'", "'x/a.wav'", "'y/a.wav'")),
        (["a.wav"], ["x/a.wav", "y/a.wav"], ("'x/a.wav'", "'y/a.wav'", "'a.wav'")),
    ],
)
def test_ambiguity_names_both(known: list[str], asked: list[str], named: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        match(known, asked)
    assert all(name in str(caught.value) for name in (*named, "truth.tsv", "events.tsv"))


NAMES = st.from_regex(r"([ab]/)?[ab](\.5)?(\.wav|\.flac)?", fullmatch=True)


@given(st.lists(NAMES, max_size=5, unique=True), st.lists(NAMES, max_size=5, unique=True))
def test_no_two_names_mean_one_recording_and_each_is_accounted_for(
    known: list[str], asked: list[str]
) -> None:
    try:
        found, unknown = match(known, asked)
    except DataError:
        return
    assert len(set(found.values())) == len(found)
    assert sorted([*found, *unknown]) == sorted(asked)
    for name, recording in found.items():
        assert base_name(name) == base_name(recording)
        if name in known:
            assert recording == name


@given(NAMES)
def test_dropping_the_extension_twice_drops_it_once(name: str) -> None:
    assert without_extension(without_extension(name)) == without_extension(name)
