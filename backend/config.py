"""Settings: every knob, its default and its range. Read once, in `main`; passed down from there."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A group of settings: immutable, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the server listens, and how much it takes from one client."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)  # 0: any free port
    max_connections: int = Field(1000, ge=1)
    max_text_length: int = Field(20_000, ge=100)  # unspoken characters a context may hold
    drain_timeout: float = Field(5.0, ge=0)  # s that running speech gets at shutdown


class EngineSettings(Section):
    """Which engine speaks, with how many threads, and the defaults of a context."""

    name: Literal["auto", "hibari"] = "auto"
    threads: int = Field(0, ge=0, le=64)  # 0: one per core
    voice: str = "heart"
    speed: float = Field(1.0, ge=0.5, le=2.0)


class BidirectionalStreaming(Section):
    """How text and speech flow past each other on one connection."""

    enabled: bool = True
    max_concurrent_tasks: int = Field(10, ge=1)
    task_timeout: float = Field(30.0, gt=0)
    immediate_send: bool = True
    queue_size: int = Field(100, ge=1)


class LatencyOptimization(Section):
    """When words are spoken."""

    min_text_length: int = Field(5, ge=1)
    chunk_size: int = Field(25, ge=1)
    preemptive_generation: bool = True
    streaming_threshold: float = Field(0.1, ge=0.01)
    word_timeout: float = Field(0.6, ge=0.01)
    lookahead_start: int = Field(1, ge=0, le=10)
    lookahead: int = Field(2, ge=0, le=10)
    low_water: float = Field(0.6, ge=0)
    high_water: float = Field(4.0, ge=0)
    ttfa_goal: float = Field(0.15, gt=0)


class LogSettings(Section):
    """What is logged; the user's text only at `debug`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(Section):
    """All of it."""

    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    bidirectional_streaming: BidirectionalStreaming = BidirectionalStreaming()
    latency_optimization: LatencyOptimization = LatencyOptimization()
    log: LogSettings = LogSettings()
