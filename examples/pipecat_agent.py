"""Talk with a language model through Pipecat: `python examples/pipecat_agent.py`.

Speech is recognised and the answers are written by a server with OpenAI's API: OPENAI_BASE_URL and
OPENAI_API_KEY say which (default: OpenAI's own). DUPLEX_TTS_URL is the speech server. Use
headphones: with loudspeakers it would hear itself.
"""

import asyncio
import os
import sys
from typing import Any

try:
    from pipecat.audio.vad.silero import SileroVADAnalyzer
    from pipecat.frames.frames import LLMRunFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.processors.aggregators.llm_response_universal import (
        LLMContextAggregatorPair,
        LLMUserAggregatorParams,
    )
    from pipecat.services.openai.llm import OpenAILLMService
    from pipecat.services.openai.stt import OpenAISTTService
    from pipecat.workers.runner import WorkerRunner
except ImportError:
    sys.exit("pipecat_agent: pip install 'duplex-tts[pipecat]' 'pipecat-ai[local]'")

from duplex_tts.pipecat import DuplexTTSService, Heard

INSTRUCTIONS = "You are on a call. Answer in one or two short spoken sentences, without any markup."


async def print_heard(_: DuplexTTSService, heard: Heard) -> None:
    """Print what was heard of an interrupted answer."""
    print(f"the caller heard: {heard.text!r}")


def create_worker(source: Any, sink: Any) -> tuple[PipelineWorker, LLMContext]:
    """The agent, from where the caller's audio comes to where its own goes, and its memory."""
    base_url = os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get("OPENAI_API_KEY", "none")
    stt_model = os.environ.get("STT_MODEL", "whisper-1")
    llm_model = os.environ.get("LLM_MODEL", "gpt-4.1-mini")
    voice = DuplexTTSService(os.environ.get("DUPLEX_TTS_URL", "http://127.0.0.1:8000"))
    voice.add_event_handler("on_interrupted", print_heard)
    context = LLMContext()
    memory = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [
            source,
            OpenAISTTService(
                api_key=key,
                base_url=base_url,
                settings=OpenAISTTService.Settings(model=stt_model),
            ),
            memory.user(),
            OpenAILLMService(
                api_key=key,
                base_url=base_url,
                settings=OpenAILLMService.Settings(
                    model=llm_model, system_instruction=INSTRUCTIONS
                ),
            ),
            voice,
            sink,
            memory.assistant(),
        ]
    )
    return PipelineWorker(pipeline, params=PipelineParams(audio_out_sample_rate=24000)), context


async def main() -> None:
    """Talk over this machine's microphone and headphones, until Ctrl-C."""
    try:
        from pipecat.transports.local.audio import LocalAudioTransport, LocalAudioTransportParams
    except ImportError:
        sys.exit("pipecat_agent: pip install 'pipecat-ai[local]' (needs PortAudio)")
    transport = LocalAudioTransport(
        LocalAudioTransportParams(audio_in_enabled=True, audio_out_enabled=True)
    )
    worker, context = create_worker(transport.input(), transport.output())
    context.add_message({"role": "user", "content": "Greet me in one sentence."})
    await worker.queue_frame(LLMRunFrame())
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    asyncio.run(main())
