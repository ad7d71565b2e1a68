"""The examples for voice-agent frameworks, with a scripted language model and no microphone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from livekit.agents import Agent
from livekit.agents.voice.transcription import TranscriptSynchronizer
from pipecat.frames.frames import InterruptionFrame, LLMRunFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from examples import livekit_agent, pipecat_agent
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_call import Loudspeaker, Transcript
from tests.interop.pipecat_call import Loudspeaker as PipecatLoudspeaker
from tests.interop.pipecat_call import PipelineCall
from tests.support.scripted_llm import ScriptedLlm, serve_llm

LONG_ANSWER = "Let me tell you a very long story about a lighthouse. " * 4
SHORT_ANSWER = "Good-bye."


@pytest.fixture
def model(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLlm]:
    """A language model at the address that the examples use."""
    scripted = ScriptedLlm([LONG_ANSWER, SHORT_ANSWER])
    with serve_llm(scripted) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("DUPLEX_TTS_URL", server.http)
        yield scripted


def expect_cut_answer(model: ScriptedLlm) -> None:
    """Fail unless the model was told the beginning of its long answer only."""
    (said,) = [
        str(message["content"])
        for message in model.requests[-1]["messages"]
        if message["role"] == "assistant"
    ]
    assert LONG_ANSWER.startswith(said)
    assert 3 <= len(said.split()) < 25


async def test_the_livekit_agent_speaks_and_remembers_what_was_heard(model: ScriptedLlm) -> None:
    session, voice = livekit_agent.create_session()
    speaker = Loudspeaker()
    sync = TranscriptSynchronizer(next_in_chain_audio=speaker, next_in_chain_text=Transcript())
    session.output.audio = sync.audio_output
    session.output.transcription = sync.text_output
    await session.start(Agent(instructions=livekit_agent.INSTRUCTIONS))
    voice.follow(session)
    handle = session.generate_reply(user_input="Tell me a story.")
    await speaker.wait_playing(2_000)
    await session.interrupt()
    await handle
    await session.generate_reply(user_input="That is enough.")
    expect_cut_answer(model)
    await session.aclose()
    await sync.aclose()
    await voice.aclose()


class Microphone(FrameProcessor):
    """A silent one."""

    async def process_frame(self, frame: object, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


async def test_the_pipecat_agent_speaks_and_remembers_what_was_heard(model: ScriptedLlm) -> None:
    speaker = PipecatLoudspeaker()
    worker, context = pipecat_agent.create_worker(Microphone(), speaker)
    call = PipelineCall(worker, speaker, context)
    async with call.run():
        context.add_message({"role": "user", "content": "Tell me a story."})
        await worker.queue_frame(LLMRunFrame())
        await call.wait_played(2_000)
        await worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.3)
        context.add_message({"role": "user", "content": "That is enough."})
        await worker.queue_frame(LLMRunFrame())
        await call.wait_played(speaker.played_ms + 300)
    expect_cut_answer(model)
