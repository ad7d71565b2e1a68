"""Schema of the settings: defaults, ranges and descriptions.

`config_sources` reads them; the descriptions here are also its help.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from backend.events import Typing


class Section(BaseModel):
    """An immutable group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(Section):
    """Listening address and limits per client."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 is all.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes any free one.")
    public_url: str = Field(
        default="",
        description="Address under which others reach the server, for the links that it prints: "
        "https://tts.example.org. Empty: its own addresses.",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        description="Concurrent connections and speaking requests; more are refused.",
    )
    connections_per_address: int = Field(
        default=200,
        ge=1,
        description="Concurrent connections, HTTP included, per address (IPv6: per /64); a whole "
        "office may share one. Clients of trusted_proxies count by X-Forwarded-For.",
    )
    request_timeout: float = Field(
        default=10.0,
        gt=0,
        description="Seconds in which a connection must send a complete request; one more per "
        "16 KiB of a large body.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1, ::1",
        description="Addresses or networks of reverse proxies, separated by commas: their "
        "X-Forwarded-For, -Proto, -Host and -Prefix are trusted.",
    )
    root_path: str = Field(
        default="",
        description="Path prefix under which a reverse proxy serves the server: /tts. Needed only "
        "if the proxy keeps it and sends no X-Forwarded-Prefix.",
    )
    max_text_length: int = Field(
        default=20_000, ge=100, description="Unspoken characters that a context may hold."
    )
    max_first_wait: float = Field(
        default=1.5,
        gt=0,
        description="Seconds that a new listener may have to wait for its first sound; one that "
        "would wait longer is refused, with a time to try again.",
    )
    drain_timeout: float = Field(
        default=5.0, ge=0, description="Seconds that running speech has to end at shutdown."
    )
    resume_ttl: float = Field(
        default=30.0,
        ge=0,
        description="Seconds that a session outlives its broken connection; 0: not at all.",
    )
    resume_bytes: int = Field(
        default=1 << 20,
        ge=1 << 18,
        description="Bytes of audio, sent or not, that a session keeps for resuming.",
    )


class EngineSettings(Section):
    """The engines, their threads, and the defaults of a context."""

    name: Literal[
        "auto",
        "hibari",
        "piper",
        "chatterbox",
        "chatterbox-turbo",
        "chatterbox-multilingual",
        "chatterbox-nano",
    ] = Field(
        default="auto",
        description="The engine; auto is Chatterbox if a CUDA device and its weights are present; "
        "on a CPU Chatterbox Nano if its weights are present and it keeps up; else hibari. "
        "piper has the voices in models/piper (see docs/piper.md).",
    )
    also: str = Field(
        default="auto",
        description="Further engines whose voices are offered, too, separated by commas; auto is "
        "piper if it has voices here; none. One that cannot be loaded is left out, with a warning.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Engine threads; 0 is one per core. Engines on the CPU share them; one that "
        "batches utterances has a thread of its own.",
    )
    voice: str = Field(
        default="", description="Voice of a context that names none; empty is the engine's own."
    )
    speed: float = Field(
        default=1.0, ge=0.5, le=2.0, description="Speed of a context that names none; 2 is fast."
    )
    idle_unload: float = Field(
        default=0.0,
        ge=0,
        description="Seconds without speech after which Chatterbox's weights leave the GPU for the "
        "host's memory; the next context brings them back, in seconds. 0: never.",
    )
    health_interval: float = Field(
        default=60.0,
        ge=0,
        description="Seconds without speech after which a request of /readyz renders a word, to "
        "prove that the engine works; at most once in so long. 0: never.",
    )
    models: str = Field(
        default="",
        description="Folder of weights and voices; empty is models/ of a checkout, or the user's "
        "data folder for an installed package.",
    )
    piper_mirror: str = Field(
        default="",
        description="Address from which `duplex-tts voices` fetches Piper's voices and their "
        "catalogue; empty is the model hub (HF_ENDPOINT names another).",
    )


class ChatterboxSettings(Section):
    """Options of the Chatterbox engine."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device; auto is cuda if available."
    )
    slots: int = Field(
        default=64,
        ge=1,
        le=256,
        description="Maximum batch of utterances; fewer on a GPU with less memory.",
    )
    block_causal: bool = Field(
        default=False,
        description="Render audio block by block: cheaper, but not how the model was trained.",
    )
    bounded_prompt: bool = Field(
        default=False,
        description="Render from the last seconds of the voice and of the speech so far instead of "
        "from the start: costs half, less for long sentences. Quality not measured.",
    )
    text_extension: bool = Field(
        default=False,
        description="Speak words while their clause is still being written, as the embedded voice "
        "does. Experimental: quality not measured.",
    )
    meanflow: bool = Field(
        default=False,
        description="Speak with Turbo's sound decoder, also the standard and the multilingual "
        "model: 2 steps instead of 20, needs Turbo's weights. Quality not measured.",
    )
    watermark: bool = Field(
        default=True, description="Add an inaudible watermark of synthetic speech."
    )


class BidirectionalStreaming(Section):
    """Concurrent text input and audio output of a connection."""

    enabled: bool = Field(
        default=True,
        description="Send audio while text still arrives. "
        "False: a context speaks only once it is flushed or ended.",
    )
    max_concurrent_tasks: int = Field(default=10, ge=1, description="Open contexts per connection.")
    task_timeout: float = Field(
        default=30.0,
        gt=0,
        description="Seconds that the engine may work on an utterance without audio, waiting for "
        "its turn not counted.",
    )
    immediate_send: bool = Field(
        default=True,
        description="Send each audio chunk once rendered. False: collect them per sentence.",
    )
    queue_size: int = Field(
        default=100,
        ge=1,
        description="Audio messages queued for a slow reader before its rendering stops.",
    )


class LatencyOptimization(Section):
    """When words are spoken: sooner costs naturalness and computing."""

    min_text_length: int = Field(
        default=5, ge=1, description="Characters required before a context first speaks."
    )
    chunk_size: int = Field(
        default=25, ge=1, description="Approximate characters of text per audio chunk."
    )
    preemptive_generation: bool = Field(
        default=True,
        description="Speak sentences before they are finished. False: whole sentences only.",
    )
    streaming_threshold: float = Field(
        default=0.1,
        ge=0.01,
        description="Seconds without input, after a finished word, before the words held back as "
        "lookahead are spoken.",
    )
    typing: Typing = Field(
        default="auto",
        description="Units in which an unfinished sentence is spoken: word, phrase, sentence; auto "
        "is words if the writer keeps ahead of speech, else phrases.",
    )
    phrase_pause: float = Field(
        default=0.6,
        ge=0.01,
        description="Seconds without input after which a slow writer's words are spoken before "
        "their phrase is complete; scaled up for slower typing.",
    )
    word_timeout: float = Field(
        default=2.0,
        ge=0,
        description="Seconds without input after which the last word is spoken without a following "
        "space, if no longer word begins with it; 0: never.",
    )
    lookahead_start: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Finished words required after the last spoken one at the start, and for a "
        "listener about to run dry; 0: the next one has begun.",
    )
    lookahead: int = Field(
        default=2, ge=0, le=10, description="The same once the listener has audio buffered."
    )
    low_water: float = Field(
        default=0.3,
        ge=0,
        description="Seconds of buffered audio above which an unfinished sentence waits.",
    )
    high_water: float = Field(
        default=4.0,
        ge=0,
        description="Seconds of buffered audio above which a finished sentence waits.",
    )
    ttfa_goal: float = Field(
        default=0.15, gt=0, description="Deadline of a context's first chunk, in seconds."
    )


class AccessSettings(Section):
    """Authentication and allowed origins."""

    api_keys: str = Field(
        default="", description="API keys, separated by commas; best set in the environment."
    )
    api_keys_file: str = Field(
        default="", description="File of API key hashes; `duplex-tts key` writes it."
    )
    admin_key: str = Field(
        default="",
        description="API key that may also list and end sessions; best set in the environment.",
    )
    create_key: bool = Field(
        default=False,
        description="If no key is configured, create one at the first start, keep it in the user's "
        "data folder, and print a link with it. Not with insecure.",
    )
    sessions_per_key: int = Field(
        default=0,
        ge=0,
        description="Concurrent connections and speaking requests of one API key, over all "
        "replicas of a cluster; 0: no limit.",
    )
    allowed_origins: str = Field(
        default="",
        description="Web sites whose pages may use the server, separated by commas: "
        "https://example.org. Its own page always may; * is all.",
    )
    insecure: bool = Field(
        default=False,
        description="Listen beyond this machine without API keys: anyone may use the server.",
    )


class LexiconSettings(Section):
    """How names are said."""

    folder: str = Field(
        default="",
        description="Folder of the lexicon files, read again when they change; empty is lexicons/ "
        "in the folder of engine.models.",
    )


class WyomingSettings(Section):
    """Home Assistant's protocol, on its own TCP port."""

    port: int = Field(default=0, ge=0, le=65535, description="Port, usually 10200; 0 is off.")
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Wyoming has no keys: any but a loopback address needs "
        "--insecure.",
    )
    announce: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the local network is told of the port, by mDNS, so that Home "
        "Assistant finds it: auto if it listens beyond loopback and zeroconf is installed.",
    )


class ClusterSettings(Section):
    """Several servers behind one address, by Ray Serve (docs/cluster.md)."""

    replicas: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Servers to start, each with its own engine; 0: this process alone.",
    )
    max_replicas: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Servers up to which a busy cluster grows; 0: no more than replicas.",
    )
    address: str = Field(
        default="",
        description="Ray cluster to run on: host:port, ray://host:port or auto; empty: this "
        "machine alone.",
    )
    cpus_per_replica: float = Field(
        default=0.0,
        ge=0,
        description="Cores of a replica, and its engine threads unless engine.threads says "
        "otherwise; 0: on one machine an equal share, on a cluster 1.",
    )
    gpus_per_replica: float = Field(default=0.0, ge=0, description="CUDA devices of a replica.")
    host: str = Field(
        default="",
        description="Address on which each replica also listens itself; empty: loopback on one "
        "machine, on a cluster its node's own.",
    )
    first_port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        description="Own ports of the replicas: the first free one of the 100 from here; 0: any.",
    )
    direct: Literal["auto", "never"] = Field(
        default="auto",
        description="Whether clients are told their replica's own address: auto where they can "
        "reach it.",
    )
    store: str = Field(
        default="",
        description="Where all replicas keep learned voices and the lexicon: a directory that each "
        "of them reaches, or an object store's URL (s3://bucket/folder, by fsspec). Empty: each "
        "server keeps its own.",
    )


class LogSettings(Section):
    """Logging, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum level; users' text is logged at debug only."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="Human-readable text, or one JSON object per line."
    )


class Settings(Section):
    """All settings. `WEBSOCKET_CONFIG` elsewhere is the sections on streaming and latency."""

    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    chatterbox: ChatterboxSettings = ChatterboxSettings()
    bidirectional_streaming: BidirectionalStreaming = BidirectionalStreaming()
    latency_optimization: LatencyOptimization = LatencyOptimization()
    access: AccessSettings = AccessSettings()
    lexicon: LexiconSettings = LexiconSettings()
    wyoming: WyomingSettings = WyomingSettings()
    cluster: ClusterSettings = ClusterSettings()
    log: LogSettings = LogSettings()


FIELDS: dict[str, FieldInfo] = {
    f"{section}.{key}": field
    for section, group in Settings.model_fields.items()
    for key, field in group.default.__class__.model_fields.items()
}
"""Settings by dotted key, `section.key`."""


def describe_allowed(key: str) -> str:
    """Describe the allowed values of a setting."""
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
