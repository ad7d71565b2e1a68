"""What the tools return."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from duplex_tts.cli.mcp.speech_queue import SpokenText
from duplex_tts.cli.say_job import SayReport
from duplex_tts.cli.server_api import RequestRefused

Problems = Field(description="Earlier texts that could not be spoken to their end, and why.")


class Said(BaseModel):
    """The result of `say`."""

    status: Literal["speaking", "queued", "starting", "heard", "stopped"] = Field(
        description="speaking: it begins now. queued: other texts come first. starting: the speech "
        "server is not ready yet, it will be spoken. heard: all of it was. stopped: by `stop`."
    )
    texts_ahead: int = Field(description="Number of texts that are spoken before this one.")
    heard: str = Field(description="What of the text was heard by now.")
    problems: list[str] = Problems

    @classmethod
    def describe(cls, spoken: SpokenText, ahead: int, problems: list[str]) -> Self:
        """Describe a text now."""
        return cls(
            status=_status(spoken, ahead),
            texts_ahead=0 if spoken.over.is_set() else ahead,
            heard=spoken.heard,
            problems=problems,
        )


def _status(
    spoken: SpokenText, ahead: int
) -> Literal["speaking", "queued", "starting", "heard", "stopped"]:
    if spoken.over.is_set():
        return "stopped" if spoken.stopped else "heard"
    if ahead:
        return "queued"
    return "speaking" if spoken.begun.is_set() else "starting"


class Stopped(BaseModel):
    """The result of `stop`."""

    stopped: int = Field(description="Number of texts that were stopped; 0: all was silent.")
    heard: str = Field(description="What of them was heard.")
    heard_s: float = Field(description="Seconds of them that were heard.")
    not_heard: str = Field(description="The rest of them.")
    problems: list[str] = Problems

    @classmethod
    def describe(cls, texts: Sequence[SpokenText], problems: list[str]) -> Self:
        """Describe the texts that were stopped."""
        rests = (spoken.text[len(spoken.heard) :].strip() for spoken in texts)
        return cls(
            stopped=len(texts),
            heard=" ".join(spoken.heard for spoken in texts if spoken.heard),
            heard_s=round(sum(spoken.heard_s for spoken in texts), 2),
            not_heard=" ".join(rest for rest in rests if rest),
            problems=problems,
        )


class ListedVoice(BaseModel):
    """A voice of the server."""

    name: str
    language: str = Field(description="Its language tag.")
    description: str
    default: bool = Field(description="Whether it speaks when no voice is named.")
    ready: bool = Field(description="False: it is downloaded at its first use, which takes longer.")


class VoiceList(BaseModel):
    """The result of `list_voices`, by language."""

    voices: list[ListedVoice]

    @classmethod
    def describe(cls, listing: dict[str, Any], language: str | None) -> Self:
        """Read the server's list. Raises `RequestRefused` if it is none, or empty."""
        try:
            voices = [_describe_voice(voice, listing["default"]) for voice in listing["voices"]]
        except (KeyError, TypeError, AttributeError) as error:
            message = "what answers is not a speech server: it lists no voices"
            raise RequestRefused(message) from error
        if not voices and language:
            raise RequestRefused(
                f"no voice of the server speaks {language}; the user can download one: "
                f"duplex-tts voices available {language}"
            )
        return cls(voices=sorted(voices, key=lambda voice: voice.language))


def _describe_voice(voice: dict[str, Any], default: str) -> ListedVoice:
    return ListedVoice(
        name=voice["name"],
        language=voice["language"],
        description=voice["description"],
        default=voice["name"] == default,
        ready=voice["ready"],
    )


class Saved(BaseModel):
    """The result of `save_to_file`."""

    path: str = Field(description="Absolute path of the file.")
    duration_s: float
    words: int
    size_bytes: int

    @classmethod
    def describe(cls, file: Path, report: SayReport) -> Self:
        """Describe a complete file."""
        return cls(
            path=str(file),
            duration_s=round(report.heard_ms / 1000, 2),
            words=report.words,
            size_bytes=file.stat().st_size,
        )
