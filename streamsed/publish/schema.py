"""The JSON Schema of messages and replies; ``python -m streamsed.publish.schema`` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from streamsed.publish.daemon_status import DaemonStatus
from streamsed.publish.messages import Heartbeat, LevelMessage, NumberedMessage
from streamsed.publish.requests import ActiveReply, ErrorReply, SinceReply

SCHEMA_FILE = Path(__file__).with_name("schema.json")


_SAID: TypeAdapter[object] = TypeAdapter(
    Annotated[
        NumberedMessage
        | Heartbeat
        | LevelMessage
        | ActiveReply
        | SinceReply
        | DaemonStatus
        | ErrorReply,
        Field(discriminator="schema_"),
    ]
)


def render_schema() -> str:
    """Generate the JSON Schema (draft 2020-12) of messages and replies from their types."""
    schema = _SAID.json_schema(by_alias=True, mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What streamsed publishes (the second frame of a message) and answers (the last)",
    }
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(render_schema(), encoding="utf-8")
