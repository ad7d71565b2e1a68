"""The settings: every knob, its default, its range and what it does.

`config` reads them from their sources; what is written here is also what its help says.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from backend.events import Typing


class Section(BaseModel):
    """A group of settings: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(Section):
    """Where the server listens, and how much it takes from one client."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 is all.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes any free one.")
    max_connections: int = Field(
        default=1000,
        ge=1,
        description="Connections, and requests that speak, at once; one more is refused.",
    )
    connections_per_address: int = Field(
        default=200,
        ge=1,
        description="Of these and of HTTP's, as many from one address (IPv6: one /64); a whole "
        "office may share one. Clients of trusted_proxies count by X-Forwarded-For.",
    )
    request_timeout: float = Field(
        default=10.0,
        gt=0,
        description="Seconds in which a connection must have sent a whole request; for a large "
        "body one more for each 16 KiB.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1, ::1",
        description="Addresses or networks of reverse proxies, separated by commas: their "
        "X-Forwarded-For, -Proto, -Host and -Prefix are believed.",
    )
    root_path: str = Field(
        default="",
        description="Path under which a reverse proxy shows the server: /tts. Needed only where "
        "the proxy passes it on and sends no X-Forwarded-Prefix.",
    )
    max_text_length: int = Field(
        default=20_000, ge=100, description="Characters that a context may hold unspoken."
    )
    drain_timeout: float = Field(
        default=5.0, ge=0, description="Seconds that running speech gets to end at shutdown."
    )
    resume_ttl: float = Field(
        default=30.0,
        ge=0,
        description="Seconds that a session outlives its broken connection; 0: not at all.",
    )
    resume_bytes: int = Field(
        default=1 << 20,
        ge=1 << 18,
        description="Bytes of audio that a session keeps, sent or not, for a client that comes "
        "back.",
    )


class EngineSettings(Section):
    """Which engine speaks, with how many threads, and the defaults of a context."""

    name: Literal["auto", "hibari", "chatterbox", "chatterbox-turbo"] = Field(
        default="auto",
        description="The engine; auto is Chatterbox where a CUDA device and its weights are there, "
        "else hibari.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Engine threads; 0 is one per core. An engine that advances many utterances at "
        "a time has one.",
    )
    voice: str = Field(
        default="", description="Voice of a context that names none; empty is the engine's own."
    )
    speed: float = Field(
        default=1.0, ge=0.5, le=2.0, description="Speed of a context that names none; 2 is fast."
    )
    models: str = Field(
        default="",
        description="Folder of weights and voices; empty is models/ of a checkout, and the user's "
        "data folder where the package is installed.",
    )


class ChatterboxSettings(Section):
    """How Chatterbox runs, where it is the engine."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where it runs; auto is cuda where there is such a device."
    )
    slots: int = Field(
        default=64,
        ge=1,
        le=256,
        description="Utterances advanced at a time, at most; on a card with less memory fewer.",
    )
    block_causal: bool = Field(
        default=False,
        description="Render the sound block by block: cheaper, and not how the model was trained.",
    )
    text_extension: bool = Field(
        default=False,
        description="Speak words while their clause is still being written, as the embedded voice "
        "does. An experiment: how it sounds is not known.",
    )
    watermark: bool = Field(
        default=True, description="Mark the sound, inaudibly, as made by a machine."
    )


class BidirectionalStreaming(Section):
    """How text and speech flow past each other on one connection."""

    enabled: bool = Field(
        default=True,
        description="Audio goes out while text still comes in. "
        "False: a context speaks only once it is flushed or ended.",
    )
    max_concurrent_tasks: int = Field(
        default=10, ge=1, description="ContextTable alive at once on one connection."
    )
    task_timeout: float = Field(
        default=30.0,
        gt=0,
        description="Seconds that the engine may be at an utterance without audio; those that it "
        "waits for its turn do not count.",
    )
    immediate_send: bool = Field(
        default=True,
        description="Every chunk of audio is sent as it is made. False: collected per sentence.",
    )
    queue_size: int = Field(
        default=100,
        ge=1,
        description="Audio messages that may wait for a slow reader before its rendering stops.",
    )


class LatencyOptimization(Section):
    """When words are spoken: sooner costs naturalness and computing."""

    min_text_length: int = Field(
        default=5, ge=1, description="Characters that must be there before a context first speaks."
    )
    chunk_size: int = Field(
        default=25, ge=1, description="Characters of text that one chunk of audio speaks, about."
    )
    preemptive_generation: bool = Field(
        default=True,
        description="Sentences are spoken before they are finished. False: whole sentences only.",
    )
    streaming_threshold: float = Field(
        default=0.1,
        ge=0.01,
        description="Seconds without input, after a finished word, that release the words held "
        "back as lookahead.",
    )
    typing: Typing = Field(
        default="auto",
        description="In which pieces a sentence is spoken while it is written: word, phrase, "
        "sentence; auto is words where the writer keeps ahead of speech, else phrases.",
    )
    phrase_pause: float = Field(
        default=0.6,
        ge=0.01,
        description="Seconds without input after which a slow writer's words are spoken before "
        "their phrase is complete; longer for a writer who needs longer for a key.",
    )
    word_timeout: float = Field(
        default=2.0,
        ge=0,
        description="Seconds without input after which a last word is spoken although no space "
        "follows, if no longer word begins with it; 0: never.",
    )
    lookahead_start: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Words that must be finished behind the last spoken one at the start, and for "
        "a listener that is about to run dry; 0: the next one has begun.",
    )
    lookahead: int = Field(
        default=2, ge=0, le=10, description="The same words once the listener is ahead."
    )
    low_water: float = Field(
        default=0.3,
        ge=0,
        description="Seconds of audio left to the listener above which a growing sentence waits "
        "for more text.",
    )
    high_water: float = Field(
        default=4.0,
        ge=0,
        description="Seconds of audio left to the listener above which a finished sentence waits.",
    )
    ttfa_goal: float = Field(
        default=0.15, gt=0, description="Seconds in which a context's first chunk is due."
    )


class AccessSettings(Section):
    """Who may speak with the server."""

    api_keys: str = Field(
        default="", description="API keys, separated by commas; best from the environment."
    )
    api_keys_file: str = Field(
        default="", description="File with the hashes of API keys; `duplex-tts key` writes it."
    )
    admin_key: str = Field(
        default="",
        description="API key that may also see and end the sessions of others; best from the "
        "environment.",
    )
    allowed_origins: str = Field(
        default="",
        description="Web sites whose pages may use the server, separated by commas: "
        "https://example.org. Its own page always may; * is all.",
    )
    insecure: bool = Field(
        default=False,
        description="Listen beyond this machine without any API key: everybody may speak.",
    )


class WyomingSettings(Section):
    """Home Assistant's protocol, on a TCP port of its own."""

    port: int = Field(default=0, ge=0, le=65535, description="Port, by custom 10200; 0 is off.")
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Wyoming knows no keys: others than this machine's need "
        "--insecure.",
    )


class LogSettings(Section):
    """What is logged, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged; users' text is at debug only."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="For people, or one JSON object a line."
    )


class Settings(Section):
    """All of it. `WEBSOCKET_CONFIG` elsewhere are the two sections of streaming and latency."""

    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    chatterbox: ChatterboxSettings = ChatterboxSettings()
    bidirectional_streaming: BidirectionalStreaming = BidirectionalStreaming()
    latency_optimization: LatencyOptimization = LatencyOptimization()
    access: AccessSettings = AccessSettings()
    wyoming: WyomingSettings = WyomingSettings()
    log: LogSettings = LogSettings()


FIELDS: dict[str, FieldInfo] = {
    f"{section}.{key}": field
    for section, group in Settings.model_fields.items()
    for key, field in group.default.__class__.model_fields.items()
}
"""Every setting by its dotted key, `section.key`."""


def allowed(key: str) -> str:
    """In words, what the setting may be."""
    field = FIELDS[key]
    if field.annotation is bool:
        return "true or false"
    if field.annotation is str:
        return "text"
    if choices := get_args(field.annotation):
        return f"one of {', '.join(choices)}"
    bounds = {
        name: getattr(bound, name)
        for bound in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(bound, name)
    }
    kind = "a whole number" if field.annotation is int else "a number"
    if "le" in bounds:
        return f"{kind} from {bounds['ge']} to {bounds['le']}"
    return f"{kind} above {bounds['gt']}" if "gt" in bounds else f"{kind}, {bounds['ge']} or more"
