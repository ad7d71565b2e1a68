"""What can go wrong, each with its code on the wire.

A `DuplexError` is an answer to somebody: it travels to the client as an `error` message (or stops
the start with one line). A bug is never a `DuplexError`: it is raised and seen.
"""

from __future__ import annotations


class DuplexError(Exception):
    """An error with a code for machines and a message (with the remedy in it) for people."""

    code = "internal"

    def __init__(self, message: str, context: str | None = None) -> None:
        """`context`: the one it concerns, where that is known."""
        super().__init__(message)
        self.message = message
        self.context = context
        self.ends_context = False  # its id is used up: text on its way must not open it anew


class BadJson(DuplexError):
    """The message is not JSON, or not a JSON object."""

    code = "bad_json"


class BadMessage(DuplexError):
    """A field is missing, of the wrong type, or out of its range."""

    code = "bad_message"


class UnknownType(DuplexError):
    """The message's `type` is not in the protocol."""

    code = "unknown_type"


class BinaryMessage(DuplexError):
    """A binary message: clients send JSON text only."""

    code = "binary_message"


class BadText(DuplexError):
    """The text holds lone surrogates: not Unicode characters."""

    code = "bad_text"


class UnreadableText(DuplexError):
    """All of the text is in a script that the engine does not read."""

    code = "unreadable_text"


class TextLimit(DuplexError):
    """More text than the server keeps unspoken."""

    code = "text_limit"


class TooManyContexts(DuplexError):
    """More contexts at once than one connection may have."""

    code = "too_many_contexts"


class ContextStarted(DuplexError):
    """`start` came after the context's first text."""

    code = "context_started"


class ContextEnded(DuplexError):
    """The context has had its `end` (or `cancel`): its id is used up."""

    code = "context_ended"


class UnknownContext(DuplexError):
    """The message names a context that never was."""

    code = "unknown_context"


class UnknownVoice(DuplexError):
    """No such voice; the message lists those there are."""

    code = "unknown_voice"


class VoiceUnavailable(DuplexError):
    """The voice exists, but its weights are not here and could not be fetched."""

    code = "voice_unavailable"


class VoiceExists(DuplexError):
    """A new voice wants the name of one that there is."""

    code = "voice_exists"


class BadFormat(DuplexError):
    """No such audio format, or not with this sample rate."""

    code = "bad_format"


class Unsupported(DuplexError):
    """In the protocol, but not offered by this server or this engine."""

    code = "unsupported"


class Overloaded(DuplexError):
    """The machine cannot speak for one listener more without breaking the others.

    `retry_after_s`: when it is worth asking again.
    """

    code = "overloaded"

    def __init__(
        self, message: str, retry_after_s: float = 1.0, context: str | None = None
    ) -> None:
        super().__init__(f"{message}; try again in {max(1, round(retry_after_s))} s", context)
        self.retry_after_s = retry_after_s


class SpeechTimeout(DuplexError):
    """The engine was at an utterance for longer than `task_timeout` without audio."""

    code = "timeout"


class EngineFailed(DuplexError):
    """The engine could not render an utterance; the others go on."""

    code = "engine_failed"


class EngineDead(DuplexError):
    """The engine renders nothing more in this process (its card is lost): the server ends, and has
    to be started anew.
    """

    code = "engine_dead"


class SlowClient(DuplexError):
    """The client sends, but does not read the answers."""

    code = "slow_client"


class IdleClient(DuplexError):
    """Nothing came from the client for as long as its protocol allows."""

    code = "idle_timeout"


class SessionEnded(DuplexError):
    """Whoever runs the server has ended the session."""

    code = "session_ended"


class ResumeFailed(DuplexError):
    """The session to be resumed is not there, or not this client's."""

    code = "resume_failed"


class ResumeGap(DuplexError):
    """The session goes on, but something of a context is no longer kept."""

    code = "resume_gap"


class TakenOver(DuplexError):
    """The client goes on with its session over another connection."""

    code = "resumed"


class Unauthorized(DuplexError):
    """The API key is missing or wrong."""

    code = "invalid_api_key"


class ConfigError(DuplexError):
    """A setting that the server cannot start with; the message names it."""

    code = "config"


class DownloadFailed(DuplexError):
    """Weights could not be fetched, or are not what they should be."""

    code = "download"
