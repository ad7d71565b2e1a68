"""The server with the tiny model, end to end over a WebSocket."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.config import ChatterboxSettings
from backend.engines.chatterbox.model import ChatterboxModel
from tests.support.chatterbox.recordings import recording
from tests.support.chatterbox.tiny import tiny
from tests.support.live_server import Message, NativeClient, live_server, wait_until
from tests.support.same_sound import assert_same_sound

CLAUSE, REST = "Well then, my dear old friend, ", "we shall see what comes of it."
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def create_model(voices: Path, *, turbo: bool) -> ChatterboxModel:
    return ChatterboxModel(tiny(turbo=turbo), ChatterboxSettings(slots=4, watermark=False), voices)


def audio_of(messages: list[Message], context: str) -> list[Message]:
    return [m for m in messages if m["type"] == "audio" and m["context"] == context]


def assert_spoken(messages: list[Message], context: str, text: str) -> None:
    """The spans tile the text, and `done` reports the sums."""
    audio, done = audio_of(messages, context), messages[-1]
    edges = [m["text"] for m in audio]
    assert edges[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(edges))
    assert (edges[-1][1], done["characters"], done["chunks"]) == (len(text), len(text), len(audio))
    assert abs(done["audio_ms"] - sum(m["duration_ms"] for m in audio)) < 1


async def speak_text(client: NativeClient, context: str, text: str, **start: Any) -> bytes:
    await client.send("start", context=context, format="pcm_f32le", **start)
    await client.send("text", context=context, text=text)
    await client.send("end", context=context)
    messages = await client.receive_until("done", context)
    assert_spoken(messages, context, text)
    return b"".join(m["data"] for m in audio_of(messages, context))


@both
async def test_clause_is_heard_before_the_sentence_ends(turbo: bool, tmp_path: Path) -> None:
    async with live_server(create_model(tmp_path, turbo=turbo)) as live, live.connect() as client:
        assert (client.ready["voice"], client.ready["sample_rate"]) == ("default", 24_000)
        await client.send("start", context="c", format="pcm_f32le", seed=1)
        await client.send("text", context="c", text=CLAUSE)
        before = await client.receive_until("audio", "c")
        while before[-1]["text"][1] < len(CLAUSE):
            before += await client.receive_until("audio", "c")
        assert sum(m["duration_ms"] for m in audio_of(before, "c")) > 400
        await client.send("text", context="c", text=REST)
        await client.send("end", context="c")
        messages = before + await client.receive_until("done", "c")
    assert_spoken(messages, "c", CLAUSE + REST)
    assert len(audio_of(messages, "c")) >= 4
    words = [word for m in audio_of(messages, "c") for word in m["words"]]
    assert [(CLAUSE + REST)[low:high].strip() for low, high, *_ in words] == (CLAUSE + REST).split()


@both
async def test_concurrent_voices_sound_the_same_as_alone(turbo: bool, tmp_path: Path) -> None:
    model = create_model(tmp_path / "voices", turbo=turbo)
    for seed, name in enumerate(("anna", "bob"), 1):
        model.learn(name, recording(tmp_path / f"{name}.wav", seed=seed))
    starts: dict[str, Any] = {
        f"{voice}{seed}": {"voice": voice, "seed": seed, "mode": "batch"}
        for voice, seed in (("default", 1), ("anna", 1), ("bob", 1))
    }

    async def one(name: str) -> bytes:
        async with live.connect() as client:
            return await speak_text(client, name, REST, **starts[name])

    async with live_server(model) as live:
        together = await asyncio.gather(*(one(name) for name in starts))
        alone = [await one(name) for name in starts]
    for crowd, single in zip(together, alone, strict=True):
        assert_same_sound(np.frombuffer(crowd, "<f4"), np.frombuffer(single, "<f4"))
    assert len({each[:20_000] for each in alone}) == len(starts)


async def test_cancel_frees_the_slot_for_other_contexts(tmp_path: Path) -> None:
    model = ChatterboxModel(
        tiny(turbo=True), ChatterboxSettings(slots=1, watermark=False), tmp_path
    )
    engines = []
    create = model.create_engine
    model.create_engine = lambda: engines.append(create()) or engines[-1]  # type: ignore[method-assign, func-returns-value]
    async with live_server(model) as live, live.connect() as client:
        await client.send("start", context="a")
        await client.send("text", context="a", text=(CLAUSE + REST + " ") * 8)
        await client.receive_until("audio", "a")
        await client.send("cancel", context="a")
        await client.receive_until("cancelled", "a")
        await wait_until(lambda: engines[0]._parts.decoder.free_slots == 1, 5)
        assert await speak_text(client, "b", "Good day.")


async def test_out_of_range_parameter_is_answered_with_its_range(tmp_path: Path) -> None:
    async with live_server(create_model(tmp_path, turbo=False)) as live, live.connect() as client:
        await client.send("start", context="a", exaggeration=7)
        (error,) = await client.receive_until("error")
        assert (error["code"], "0.25 to 2.0" in error["message"]) == ("bad_message", True)
        assert await speak_text(client, "b", "Good day.", exaggeration=1.0, cfg_weight=0)
