"""Speak a language model's answer while it is written: `python examples/llm_to_speech.py WHY`."""

import argparse
import asyncio
import os
import sys

from duplex_tts import Session
from duplex_tts.player import Player


async def main(question: str, model: str | None) -> None:
    """OPENAI_BASE_URL is the model's address. Returns when all of the answer was heard."""
    url = os.environ.get("DUPLEX_TTS_URL", "127.0.0.1:8000")
    async with Session.connect(url) as session, Player() as player:
        llm = AsyncOpenAI()
        stream = await llm.chat.completions.create(
            model=model or (await llm.models.list()).data[0].id,
            messages=[{"role": "user", "content": question}],
            stream=True,
        )
        player.play(session.speak(stream), on_word=lambda _, word: print(word))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("question", nargs="*", default=["Why is the sky blue?"])
parser.add_argument("--model", help="default: the first one that OPENAI_BASE_URL lists")
options = parser.parse_args()
try:
    from openai import AsyncOpenAI
except ImportError:
    sys.exit("llm_to_speech: pip install openai (works with any server of its API)")
asyncio.run(main(" ".join(options.question), options.model))
