"""The JSON Schema of the messages; ``python -m streamsed.publish.schema`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from streamsed.publish.messages import MESSAGE

SCHEMA_FILE = Path(__file__).with_name("schema.json")


def render() -> str:
    """Generate the JSON Schema (draft 2020-12) of every message from the message types."""
    schema = MESSAGE.json_schema(by_alias=True, mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What streamsed publishes: the second frame of every message",
    }
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(render(), encoding="utf-8")
