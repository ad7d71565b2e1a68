"""`OutputModule` without a process: what it sends for requests when its parts fail."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from duplex_tts.speechd.module_config import ModuleConfig
from duplex_tts.speechd.module_protocol import END
from duplex_tts.speechd.output_module import OutputModule
from duplex_tts.speechd.server_voice import OfferedVoice, VoiceOffer
from duplex_tts.speechd.speech_parts import SpeechPart
from duplex_tts.speechd.voice_settings import VoiceSettings

VOICES = VoiceOffer(
    "heart",
    [
        OfferedVoice("heart", ("en-US",), True),
        OfferedVoice("anna", ("de-DE",), True),
        OfferedVoice("rosa", ("pt-BR",), False),
    ],
)


class RecordedOutput:
    """Notes the end of a message."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def write(self, data: bytes) -> None:
        if data == END:
            self.ended.set()

    async def drain(self) -> None: ...


class BrokenVoice:
    """A voice with a bug."""

    offer = VOICES

    async def speak(self, *_: Any) -> AsyncGenerator[SpeechPart, None]:
        yield bytes(2)
        raise RuntimeError("a bug")

    async def prepare(self, *_: Any) -> None: ...


class FakeLink:
    """A link to a server with this voice."""

    voice = BrokenVoice()
    problem = ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_bug_does_not_silence_the_messages_after_it() -> None:
    output = RecordedOutput()
    module = OutputModule(ModuleConfig(), cast(Any, FakeLink()), cast(Any, output))
    for _ in range(2):
        for line in (b"SPEAK", b"Hello", b"."):
            await module.process_line(line)
        async with asyncio.timeout(5):
            await output.ended.wait()
        output.ended.clear()
    await module.close()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "heart"),
        ({"language": "en-GB"}, "heart"),
        ({"language": "de_AT"}, "anna"),
        ({"language": "ja"}, None),
        ({"language": "pt"}, None),  # not on this machine yet: the fallback speaks it
        ({"synthesis_voice": "rosa"}, "rosa"),
        ({"synthesis_voice": "nobody", "language": "de"}, "anna"),
    ],
)
def test_a_voice_is_chosen_by_name_then_by_language(values: dict[str, str], name: str) -> None:
    assert VOICES.choose(VoiceSettings().update(values)) == name
