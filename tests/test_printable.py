"""What is printed for people moves no cursor, forges no line and hides nothing."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from streamsed import log
from streamsed.cli.lines import line
from streamsed.cli.output import echo, echo_styled
from streamsed.client import DaemonMessage, EventMessage, StatusMessage
from streamsed.detect.events import Kind
from streamsed.printable import printable, printable_json, printable_lines, printable_styled
from streamsed.publish.messages import BundleName, DaemonState, SourceState
from tests.publish.journals import event

EVIL = "\x1b]0;owned\x07\x9b31m\x7f\r\nforged\u202egnp.exe\u2066\u2028\udc80"
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def acts(text: str) -> set[str]:
    """Return what a terminal would act upon."""
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in BIDI}


@given(text=st.text() | st.text(st.sampled_from(EVIL)))
def test_nothing_acts_and_what_is_harmless_stays(text: str) -> None:
    assert not acts(printable(text))
    assert acts(printable_lines(text)) <= {"\n"}
    assert not acts(printable_styled(printable(text)))
    assert printable(printable(text)) == printable(text)
    if not acts(text) and text.isprintable():
        assert printable(text) == text


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_keeps_its_content(content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    assert not acts(printable_json(text))
    assert json.loads(printable_json(text)) == content


def test_messages_are_one_line_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    made = event(Kind.ONSET)(1, now)
    assert isinstance(made, EventMessage)
    bundle = BundleName.model_construct(name=EVIL, version=EVIL)
    messages = [
        made.model_copy(update={"source": EVIL, "label": EVIL, "clip": EVIL, "bundle": bundle}),
        StatusMessage.model_construct(
            seq=1, source=EVIL, state=SourceState.LOST, message=EVIL, published=now
        ),
        DaemonMessage.model_construct(
            seq=1,
            state=DaemonState.STARTED,
            message=EVIL,
            version=EVIL,
            provider=EVIL,
            bundle=bundle,
            published=now,
        ),
    ]
    for message in messages:
        echo_styled(line(message))
    echo(EVIL, err=True)
    printed, complained = capsys.readouterr()
    assert acts(printed) == acts(complained) == {"\n"}
    assert printed.count("\n") == len(messages)
    assert complained.count("\n") == 1


def test_the_log_for_people_is_one_line_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("console", "json"):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        log.configure(level="info", form=form)  # type: ignore[arg-type]
        structlog.get_logger().info("client_refused", client=EVIL, others=[EVIL], by={EVIL: EVIL})
        assert acts(stream.getvalue()) == {"\n"}
        assert stream.getvalue().count("\n") == 1
