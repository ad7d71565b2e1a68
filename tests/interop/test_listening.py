"""The speech checker itself: it must detect wrong speech."""

from __future__ import annotations

import base64
import json

import httpx
import numpy as np
import pytest

from tests.interop.listening import HELLO, RATE_HZ, STORY, AudioClip, SpeechChecker, decode
from tests.interop.live_servers import RunningServer


def spoken(server: RunningServer, text: str, **start: object) -> bytes:
    response = httpx.post(
        f"{server.http}/v1/speech",
        json={"text": text, **start},
        headers={"authorization": f"Bearer {server.key}"},
        timeout=30,
    )
    response.raise_for_status()
    messages = map(json.loads, response.text.splitlines())
    return b"".join(base64.b64decode(m["audio"]) for m in messages if m["type"] == "audio")


@pytest.mark.parametrize("text", [HELLO, STORY])
def test_checker_accepts_correct_speech(
    server: RunningServer, checker: SpeechChecker, text: str
) -> None:
    checker.expect_speech(decode(spoken(server, text, format="wav")), text)


def test_checker_rejects_missing_words_and_wrong_duration(
    server: RunningServer, checker: SpeechChecker
) -> None:
    clip = decode(spoken(server, STORY), "s16le", 24000)
    with pytest.raises(AssertionError, match="of the words are wrong"):
        checker.expect_speech(AudioClip(clip.samples[: 2 * clip.samples.size // 3]), STORY)
    slow = AudioClip(np.append(clip.samples, np.zeros(10 * RATE_HZ, np.int16)))
    with pytest.raises(AssertionError, match="usually"):
        checker.expect_speech(slow, STORY)


def test_keyed_server_requires_its_key(keyed_server: RunningServer) -> None:
    assert spoken(keyed_server, HELLO)
    refused = httpx.post(f"{keyed_server.http}/v1/speech", json={"text": HELLO})
    assert refused.status_code == 401
