"""Errors with their codes on the wire.

A `DuplexError` is sent to the client as an `error` message, or stops the server's start with one
line. Bugs are never `DuplexError`s: they propagate.
"""

from __future__ import annotations


class DuplexError(Exception):
    """An error with a machine-readable code and a message that names the remedy."""

    code = "internal"

    def __init__(self, message: str, context: str | None = None) -> None:
        """`context`: the context it concerns, if known."""
        super().__init__(message)
        self.message = message
        self.context = context
        self.ends_context = False  # id is used up: text in transit must not reopen it


class BadJson(DuplexError):
    """The message is not JSON, or not a JSON object."""

    code = "bad_json"


class BadMessage(DuplexError):
    """A field is missing, of the wrong type, or out of range."""

    code = "bad_message"


class UnknownType(DuplexError):
    """The protocol has no such message `type`."""

    code = "unknown_type"


class BinaryMessage(DuplexError):
    """A binary message; clients send JSON text only."""

    code = "binary_message"


class BadText(DuplexError):
    """The text contains lone surrogates."""

    code = "bad_text"


class BadLexicon(DuplexError):
    """An entry of a lexicon is malformed, or there are too many; the message names the entry."""

    code = "bad_lexicon"


class UnknownLexicon(DuplexError):
    """No such pronunciation dictionary."""

    code = "unknown_lexicon"


class UnreadableText(DuplexError):
    """All of the text is in a script that the engine cannot read."""

    code = "unreadable_text"


class TextLimit(DuplexError):
    """Too much unspoken text in a context."""

    code = "text_limit"


class TooManyContexts(DuplexError):
    """Too many open contexts on one connection."""

    code = "too_many_contexts"


class ContextStarted(DuplexError):
    """`start` after the context's first text."""

    code = "context_started"


class ContextEnded(DuplexError):
    """The context has ended or was cancelled; its id is used up."""

    code = "context_ended"


class UnknownContext(DuplexError):
    """The message names a context that was never opened."""

    code = "unknown_context"


class UnknownVoice(DuplexError):
    """No such voice; the message lists the voices."""

    code = "unknown_voice"


class VoiceUnavailable(DuplexError):
    """The voice exists, but its weights are missing and could not be downloaded."""

    code = "voice_unavailable"


class VoiceExists(DuplexError):
    """A new voice has the name of an existing one."""

    code = "voice_exists"


class BadFormat(DuplexError):
    """Unknown audio format, or unsupported sample rate for it."""

    code = "bad_format"


class Unsupported(DuplexError):
    """In the protocol, but not supported by this server or engine."""

    code = "unsupported"


class Overloaded(DuplexError):
    """The machine has no capacity for another listener.

    `retry_after_s`: when it is worth asking again.
    """

    code = "overloaded"

    def __init__(
        self, message: str, retry_after_s: float = 1.0, context: str | None = None
    ) -> None:
        super().__init__(message, context)
        self.retry_after_s = retry_after_s


class KeyLimit(DuplexError):
    """The key has as many sessions as `access.sessions_per_key` allows."""

    code = "key_limit"


class StoreUnavailable(DuplexError):
    """The place that replicas share (`cluster.store`) cannot be read or written now."""

    code = "store_unavailable"


class SpeechTimeout(DuplexError):
    """The engine worked on an utterance for `task_timeout` without audio."""

    code = "timeout"


class EngineFailed(DuplexError):
    """The engine could not render an utterance; others are unaffected."""

    code = "engine_failed"


class EngineDead(DuplexError):
    """The engine can render nothing more (GPU lost): the server exits and must be restarted."""

    code = "engine_dead"


class SlowClient(DuplexError):
    """The client sends without reading the answers."""

    code = "slow_client"


class IdleClient(DuplexError):
    """The client was silent longer than its protocol allows."""

    code = "idle_timeout"


class SessionEnded(DuplexError):
    """The operator has ended the session."""

    code = "session_ended"


class BadTicket(DuplexError):
    """The ticket is unknown here, used or expired."""

    code = "bad_ticket"


class ResumeFailed(DuplexError):
    """The session does not exist, or is not this client's."""

    code = "resume_failed"


class ResumeGap(DuplexError):
    """The session was resumed, but events of a context are lost."""

    code = "resume_gap"


class TakenOver(DuplexError):
    """The session was resumed on another connection."""

    code = "resumed"


class Unauthorized(DuplexError):
    """The API key is missing or wrong."""

    code = "invalid_api_key"


class ConfigError(DuplexError):
    """An invalid setting, named in the message."""

    code = "config"


class DownloadFailed(DuplexError):
    """Weights could not be downloaded, or do not match their checksum."""

    code = "download"
