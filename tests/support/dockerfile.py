"""Reads deploy/containers: the instructions of a Dockerfile, and settings from its environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from backend.config import Settings
from backend.config_sources import load_settings
from tests.support.repository import ROOT

CONTAINERS = ROOT / "deploy" / "containers"


def read_instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, with what follows each."""
    text = re.sub(r"(?m)^#.*\n", "", (CONTAINERS / name).read_text("utf-8"))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def last_stage(name: str) -> list[tuple[str, str]]:
    instructions = read_instructions(name)
    start = max(n for n, (keyword, _) in enumerate(instructions) if keyword == "FROM")
    return instructions[start:]


def last_value(name: str, keyword: str) -> str:
    return [rest for found, rest in last_stage(name) if found == keyword][-1]


def image_environment(name: str) -> dict[str, str]:
    pairs = [shlex.split(rest) for keyword, rest in last_stage(name) if keyword == "ENV"]
    return dict(pair.split("=", 1) for line in pairs for pair in line)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Fails if one is no setting or has a wrong value."""
    return load_settings(environ=environment).settings


def copied_from_the_checkout(name: str) -> list[str]:
    rests = [rest.split() for keyword, rest in read_instructions(name) if keyword == "COPY"]
    return [source for rest in rests if not rest[0].startswith("--from") for source in rest[:-1]]
