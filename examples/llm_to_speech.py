"""Speak what a language model writes, while it writes: `python examples/llm_to_speech.py`."""

import asyncio
from collections.abc import AsyncIterator

import soundfile

from duplex_tts import Audio, Context, Session


async def tokens() -> AsyncIterator[str]:
    """Put your model here; this one knows a single answer."""
    for token in ["Sure", "!", " Light", " takes", " about", " eight", " minutes", " to", " reach",
                  " us", " from", " the", " sun", "."]:  # fmt: skip
        await asyncio.sleep(0.03)
        yield token


async def write(context: Context) -> None:
    """Send every token as it comes."""
    async for token in tokens():
        await context.push(token)
    await context.end()


async def main() -> None:
    """Write and listen at the same time."""
    async with Session.connect() as session, asyncio.TaskGroup() as tasks:
        context = await session.start()
        tasks.create_task(write(context))
        with soundfile.SoundFile("answer.wav", "w", session.ready.sample_rate, 1) as file:
            async for event in context:
                if isinstance(event, Audio):
                    file.buffer_write(event.data, dtype="int16")


asyncio.run(main())
