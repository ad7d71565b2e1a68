"""Talk with a language model through LiveKit Agents: `python examples/livekit_agent.py console`.

Speech is recognised and the answers are written by a server with OpenAI's API: OPENAI_BASE_URL and
OPENAI_API_KEY say which (default: OpenAI's own). DUPLEX_TTS_URL is the speech server.
"""

import os
import sys

try:
    from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
    from livekit.plugins import openai
except ImportError:
    sys.exit("livekit_agent: pip install 'duplex-tts[livekit]' livekit-plugins-openai")

from duplex_tts.livekit import TTS

INSTRUCTIONS = "You are on a call. Answer in one or two short spoken sentences, without any markup."

server = AgentServer()


def create_session() -> tuple[AgentSession, TTS]:
    """A session and its voice. The voice keeps one connection for the whole call."""
    voice = TTS(os.environ.get("DUPLEX_TTS_URL", "http://127.0.0.1:8000"))
    session: AgentSession = AgentSession(
        stt=openai.STT(model=os.environ.get("STT_MODEL", "whisper-1"), use_realtime=False),
        llm=openai.LLM(model=os.environ.get("LLM_MODEL", "gpt-4.1-mini")),
        tts=voice,
        use_tts_aligned_transcript=True,  # captions word by word
        turn_handling={"turn_detection": "vad"},
    )
    return session, voice


@server.rtc_session()
async def answer_call(job: JobContext) -> None:
    """Run the agent in a room, or on this machine's microphone (`console`)."""
    session, voice = create_session()
    voice.on("heard", lambda heard: print(f"the caller heard: {heard.text!r}"))
    await session.start(Agent(instructions=INSTRUCTIONS), room=job.room)
    voice.follow(session)  # after an interruption the model is told what was heard
    await session.generate_reply(instructions="Greet the caller in one sentence.")


if __name__ == "__main__":
    cli.run_app(server)
