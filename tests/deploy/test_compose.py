"""The compose files agree with the images and the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from backend.transport.auth import lacks_key
from tests.support.dockerfile import (
    CONTAINERS,
    image_environment,
    last_value,
    settings_of,
)
from tests.support.repository import ROOT

COMPOSE_FILES = ["compose.yaml", "compose.cuda.yaml"]


def read_compose(name: str, environment: Mapping[str, str] = {}) -> dict[str, Any]:
    """The one service of a compose file, with variables and `extends` resolved."""
    text = re.sub(
        r"\$\{(\w+):-([^}]*)\}",
        lambda found: environment.get(found[1]) or found[2],
        (CONTAINERS / name).read_text("utf-8"),
    )
    document = yaml.safe_load(text)
    service = document["services"]["duplex-tts"]
    if base := service.pop("extends", None):
        assert base["service"] == "duplex-tts"
        service = {**read_compose(base["file"], environment), **service}
    assert {mount.partition(":")[0] for mount in service["volumes"]} == set(document["volumes"])
    assert isinstance(service, dict)
    return service


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_builds_what_it_runs(name: str) -> None:
    build = read_compose(name)["build"]
    assert (CONTAINERS / build["context"]).resolve() == ROOT
    dockerfile = ROOT / build["dockerfile"]
    assert dockerfile.is_file()
    assert dockerfile.name.removeprefix("Dockerfile") == name[len("compose") : -len(".yaml")]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_publishes_to_this_machine_only_unless_asked(name: str) -> None:
    port = last_value("Dockerfile", "EXPOSE")
    for given, site in (
        ({}, "127.0.0.1:8000"),
        ({"ADDRESS": "192.168.7.5", "PORT": "9000"}, "192.168.7.5:9000"),
    ):
        service = read_compose(name, given)
        assert service["ports"] == [f"{site}:{port}"]
        settings = settings_of(image_environment("Dockerfile") | service["environment"])
        assert settings.server.public_url == f"http://{site}"
        assert lacks_key(settings.access)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_gives_no_more_rights_than_needed(name: str) -> None:
    service = read_compose(name)
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[2] for mount in service["volumes"]] == [
        last_value("Dockerfile", "VOLUME")
    ]


def test_compose_lets_speech_end() -> None:
    grace_s = float(read_compose("compose.yaml")["stop_grace_period"].removesuffix("s"))
    assert grace_s > settings_of(image_environment("Dockerfile")).server.drain_timeout + 5


def test_compose_reserves_a_gpu_for_chatterbox() -> None:
    (device,) = read_compose("compose.cuda.yaml")["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
