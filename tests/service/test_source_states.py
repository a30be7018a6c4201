"""The states of a source: every input has a next state, and the documentation shows the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsed.publish.messages import SourceState
from streamsed.service.source_states import TRANSITIONS, SourceInput, next_state

PAGE = Path(__file__).parents[2] / "docs" / "threads.md"
BEGIN, END = "<!-- begin: source states -->\n", "<!-- end: source states -->"


def as_markdown() -> str:
    """Render the table: a row for each state, a column for each input."""
    lines = ["| State | " + " | ".join(SourceInput) + " |", "|---" * (len(SourceInput) + 1) + "|"]
    for state in SourceState:
        following = (TRANSITIONS[state].get(observed, "-") for observed in SourceInput)
        lines.append(f"| `{state}` | " + " | ".join(following) + " |")
    return "\n" + "\n".join(lines) + "\n\n"


def test_the_documentation_shows_the_table_that_the_code_reads() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == as_markdown(), f"write this between the marks in {PAGE}:\n{as_markdown()}"


@pytest.mark.parametrize(
    "state", [state for state in SourceState if state is not SourceState.ENDED]
)
@pytest.mark.parametrize("observed", SourceInput)
def test_every_input_leads_on_from_every_state_but_the_last(
    state: SourceState, observed: SourceInput
) -> None:
    assert observed in TRANSITIONS[state]


@pytest.mark.parametrize("observed", SourceInput)
def test_what_has_ended_stays_ended(observed: SourceInput) -> None:
    assert next_state(SourceState.ENDED, observed) is SourceState.ENDED


def test_every_state_can_be_reached() -> None:
    reached = {state for following in TRANSITIONS.values() for state in following.values()}
    assert reached == set(SourceState) - {SourceState.CONNECTING}
