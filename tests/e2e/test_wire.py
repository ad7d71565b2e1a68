"""Recorded dialogues: the exact messages on the wire.

A line of `tests/wire/*.jsonl` is `{"from": "client", "message": ...}` (a message that is not a JSON
object is written as `"raw"`), `{"from": "server", "message": ...}`, or `{"pause_ms": ...}` between
two moments. Audio is replaced by its length and hash; the random `session` and `token` by "*".
`python -m tests.e2e.test_wire` records the server's lines again: read the difference first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from backend.config import Settings
from backend.errors import DuplexError
from backend.protocols import native
from backend.protocols.base import Close, Message
from tests.support.repository import ROOT
from tests.support.scripted_session import ScriptedClient, run_script

DIALOGUES = sorted((ROOT / "tests" / "wire").glob("*.jsonl"))

DialogueLine = dict[str, Any]


def read_lines(path: Path) -> list[DialogueLine]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def to_line(message: Message) -> DialogueLine:
    """Convert a message of the server to a line."""
    assert not isinstance(message, Close)
    audio: bytes | None
    if isinstance(message, bytes):
        (length,) = struct.unpack_from("<I", message)
        fields, audio = json.loads(message[4 : 4 + length]), message[4 + length :]
        frame = {"frame": "binary"}
    else:
        fields, frame = json.loads(message), {}
        audio = base64.b64decode(fields["audio"]) if "audio" in fields else None
    if audio is not None:
        digest = hashlib.sha256(audio).hexdigest()[:16]
        fields["audio"] = {"bytes": len(audio), "sha256": digest}
    fields.update({name: "*" for name in ("session", "token") if name in fields})
    return {"from": "server", **frame, "message": fields}


def replay(lines: list[DialogueLine]) -> list[DialogueLine]:
    """Replay a dialogue; returns it with the server's current messages."""
    transcript: list[DialogueLine] = []

    async def script(client: ScriptedClient) -> None:
        client.session.send_ready()
        wire, seen_events = native.NativeProtocol(), 0
        for line in [{"pause_ms": 0}, *lines, {"pause_ms": 10_000}]:
            if line.get("from") == "client":
                transcript.append(line)
                raw = line["raw"] if "raw" in line else json.dumps(line["message"])
                handle_message(client, raw)
            elif "pause_ms" in line:
                transcript.append(line)
                await client.wait(line["pause_ms"] / 1000)
                transcript.extend(
                    to_line(message)
                    for event in client.events[seen_events:]
                    for message in wire.encode(event)
                )
                seen_events = len(client.events)

    run_script(script, Settings.model_validate({"server": {"max_text_length": 200}}))
    return [line for line in transcript[1:] if line != {"pause_ms": 10_000}]


def handle_message(client: ScriptedClient, raw: str) -> None:
    try:
        client.send(native.decode_message(raw))
    except DuplexError as error:
        client.session.refuse(error)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_the_server_repeats_the_recorded_dialogue(path: Path) -> None:
    recorded = read_lines(path)
    assert replay(recorded) == recorded


def test_the_dialogues_use_every_message_type() -> None:
    messages = [
        line["message"] for path in DIALOGUES for line in read_lines(path) if "message" in line
    ]
    types = {message.get("type") for message in messages}
    assert types >= {
        *("start", "text", "retract", "flush", "end", "cancel", "played", "ping", "resume"),
        *("ready", "audio", "done", "cancelled", "retracted", "error", "pong"),
    }


if __name__ == "__main__":
    for dialogue in DIALOGUES:
        new_lines = [json.dumps(line, ensure_ascii=False) for line in replay(read_lines(dialogue))]
        dialogue.write_text("\n".join(new_lines) + "\n", "utf-8")
