"""The ear itself: it must hear what is wrong, or the other tests prove nothing."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest

from tests.interop.listening import HELLO, RATE_HZ, STORY, Ear, Sound, decode
from tests.interop.live_servers import Server


def spoken(server: Server, text: str, **start: object) -> bytes:
    answer = httpx.post(
        f"{server.http}/v1/speech",
        json={"text": text, **start},
        headers={"authorization": f"Bearer {server.key}"},
        timeout=30,
    )
    answer.raise_for_status()
    messages = map(json.loads, answer.text.splitlines())
    return b"".join(base64.b64decode(m["audio"]) for m in messages if m["type"] == "audio")


@pytest.mark.parametrize("text", [HELLO, STORY])
def test_it_understands_what_is_said(server: Server, ear: Ear, text: str) -> None:
    ear.expect(decode(spoken(server, text, format="wav")), text)


def test_it_notices_a_missing_word_and_a_wrong_pace(server: Server, ear: Ear) -> None:
    sound = decode(spoken(server, STORY), "s16le", 24000)
    with pytest.raises(AssertionError, match="of the words are wrong"):
        ear.expect(Sound(sound.samples[: 2 * sound.samples.size // 3]), STORY)
    slow = Sound(np.append(sound.samples, np.zeros(10 * RATE_HZ, np.int16)))
    with pytest.raises(AssertionError, match="usually"):
        ear.expect(slow, STORY)


def test_a_guarded_server_speaks_with_its_key_only(guarded: Server) -> None:
    assert spoken(guarded, HELLO)
    refused = httpx.post(f"{guarded.http}/v1/speech", json={"text": HELLO})
    assert refused.status_code == 401
