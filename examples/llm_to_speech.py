"""Speak what a language model writes, while it writes: `python examples/llm_to_speech.py WHY`."""

import asyncio
import os
import sys

from duplex_tts import Session
from duplex_tts.player import Player

try:
    from openai import AsyncOpenAI
except ImportError:
    sys.exit("llm_to_speech: pip install openai (any language model with its API will do)")


async def main(question: str) -> None:
    """OPENAI_BASE_URL says where the model is; the block ends when all of it was heard."""
    url = os.environ.get("DUPLEX_TTS_URL", "127.0.0.1:8000")
    async with Session.connect(url) as session, Player() as player:
        stream = await AsyncOpenAI().chat.completions.create(
            model="llama3.2", messages=[{"role": "user", "content": question}], stream=True
        )
        player.play(session.speak(stream), on_word=lambda _, word: print(word))


asyncio.run(main(" ".join(sys.argv[1:]) or "Why is the sky blue?"))
