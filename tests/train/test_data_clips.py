"""Clips and sets of them: what belongs together, and splits that part no recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import DataError
from tests.train.trees import tone, write_wav
from train.data.clips import Clip, ClipSet, require_files
from train.data.events import Event

CLASSES = ("Cat", "Dog")


def weak(names: list[str], *, clips_each: int = 1) -> ClipSet:
    clips = [
        Clip(f"{name}-{i}.wav", Path(f"{name}-{i}.wav"), name, tags=("Cat",))
        for name in names
        for i in range(clips_each)
    ]
    return ClipSet("weak", "weak", CLASSES, tuple(clips))


@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=30),
    st.floats(0.05, 0.95),
    st.integers(0, 2**32),
)
def test_a_split_parts_no_recording_and_loses_no_clip(
    sizes: list[int], share: float, seed: int
) -> None:
    clips = tuple(
        Clip(f"{recording}-{i}", Path("x"), str(recording))
        for recording, size in enumerate(sizes)
        for i in range(size)
    )
    whole = ClipSet("all", "unlabelled", CLASSES, clips)
    one, other = whole.split(share, seed=seed)
    assert one.clips
    assert other.clips
    assert not {c.recording for c in one.clips} & {c.recording for c in other.clips}
    assert sorted(one.clips + other.clips, key=clips.index) == list(clips)
    for part in (one, other):
        assert list(part.clips) == sorted(part.clips, key=clips.index)
    # As near to the share as whole recordings allow.
    assert abs(len(one) - share * len(whole)) <= max(sizes)


def test_a_split_is_repeatable_and_does_not_depend_on_the_order_of_clips() -> None:
    whole = weak([f"r{i}" for i in range(40)], clips_each=2)
    back = ClipSet("weak", "weak", CLASSES, whole.clips[::-1])
    one, _ = whole.split(0.9, seed=42)
    again, _ = back.split(0.9, seed=42)
    assert len(one) == 72
    assert set(one.clips) == set(again.clips)
    assert whole.split(0.9, seed=1)[0] != one


def test_a_split_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match=r"weak: .* 1 "):
        weak(["only"], clips_each=5).split(0.5, seed=0)
    with pytest.raises(ValueError, match=r"share 1.0; must be between 0 and 1"):
        weak(["a", "b"]).split(1.0, seed=0)


def test_recordings_of_a_test_set_are_left_out() -> None:
    assert [c.recording for c in weak(["a", "b", "c"]).without({"b"}).clips] == ["a", "c"]


def test_kinds_follow_from_labels() -> None:
    def clip(**known: object) -> Clip:
        return Clip("a.wav", Path("a.wav"), "a", **known)  # type: ignore[arg-type]

    assert clip().kind == "unlabelled"
    assert clip(tags=()).kind == "weak"
    assert clip(events=()).kind == "strong"
    soft = clip(events=(Event("Dog", 0.0, 1.0, 0.5), Event("Cat", 0.0, 1.0)))
    assert soft.kind == "soft"
    assert soft.labels == ("Cat", "Dog")
    with pytest.raises(ValueError, match="has events and tags"):
        clip(events=(), tags=())


@pytest.mark.parametrize(
    ("clips", "kind", "message"),
    [
        ([Clip("a", Path("a"), "a"), Clip("a", Path("b"), "b")], "unlabelled", "a stands twice"),
        ([Clip("a", Path("a"), "a", tags=("Horse",))], "weak", "unknown label 'Horse'; the clas"),
        ([Clip("a", Path("a"), "a", tags=("Cat",))], "strong", "clip a is weak, not strong"),
        (
            [Clip("a", Path("a"), "a", events=(Event("Cat", 0, 1, 0.5),))],
            "strong",
            "clip a is soft, not strong",
        ),
    ],
)
def test_a_set_that_is_wrong_is_named(clips: list[Clip], kind: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ClipSet("set", kind, CLASSES, tuple(clips))  # type: ignore[arg-type]


def test_durations_come_from_the_table_or_the_header(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1.25))
    clips = (Clip("a.wav", path, "a"), Clip("b.wav", path, "b", duration_s=9.5))
    assert ClipSet("s", "unlabelled", CLASSES, clips).durations() == {"a.wav": 1.25, "b.wav": 9.5}
    (tmp_path / "c.wav").write_text("no audio")
    broken = ClipSet("s", "unlabelled", CLASSES, (Clip("c", tmp_path / "c.wav", "c"),))
    with pytest.raises(DataError, match=r"c\.wav: cannot be read as audio"):
        broken.durations()


def test_missing_files_are_counted_and_the_layout_is_told(tmp_path: Path) -> None:
    clips = [Clip(n, tmp_path / n, n) for n in ("a.wav", "b.wav", "c.wav")]
    write_wav(tmp_path / "b.wav")
    with pytest.raises(DataError) as caught:
        require_files(clips, table=Path("weak.tsv"), layout="in audio/train/weak")
    assert str(caught.value) == (
        f"{tmp_path}/a.wav and 1 more of 3 files: missing, but weak.tsv names them; "
        "expected in audio/train/weak"
    )
