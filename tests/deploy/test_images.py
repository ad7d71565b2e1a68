"""The Dockerfiles agree with the package and with each other; the page and the script with them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from backend.transport.auth import lacks_key
from tests.support.dockerfile import (
    CONTAINERS,
    copied_from_the_checkout,
    image_environment,
    last_value,
    read_instructions,
    settings_of,
)
from tests.support.live_server import live_server
from tests.support.repository import ROOT

DOCKERFILES = ["Dockerfile", "Dockerfile.cuda"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_listens_to_all_and_asks_for_a_key(name: str) -> None:
    settings = settings_of(image_environment(name))
    assert settings.server.host == "0.0.0.0"
    assert lacks_key(settings.access)
    assert last_value(name, "EXPOSE") == str(settings.server.port)
    assert settings.server.public_url == f"http://localhost:{settings.server.port}"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_writes_to_its_volume_only_and_is_not_root(name: str) -> None:
    environment, volume = image_environment(name), last_value(name, "VOLUME")
    assert environment["HOME"] == environment["XDG_DATA_HOME"] == volume
    assert last_value(name, "WORKDIR") == volume
    assert int(last_value(name, "USER")) > 0


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_starts_the_server(name: str) -> None:
    (program,) = json.loads(last_value(name, "ENTRYPOINT"))
    assert program in PROJECT["project"]["scripts"]
    assert json.loads(last_value(name, "CMD")) == ["serve"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_all_that_the_package_is_built_of_is_copied(name: str) -> None:
    copied = copied_from_the_checkout(name)
    project, packages = PROJECT["project"], PROJECT["tool"]["setuptools"]["packages"]["find"]
    needed = {"pyproject.toml", "requirements.txt", project["readme"], *project["license-files"]}
    needed |= {each.removesuffix(".*") for each in packages["include"]}
    assert needed <= set(copied)
    assert all((ROOT / each).exists() for each in copied)


def test_the_build_is_given_what_it_copies_and_nothing_else() -> None:
    first, *kept = [
        line
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    copied = {each for name in DOCKERFILES for each in copied_from_the_checkout(name)}
    assert first == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == copied
    caches = [line for line in kept if not line.startswith("!")]
    assert any(fnmatch("backend/audio/__pycache__", pattern) for pattern in caches)


def test_the_image_for_cuda_has_what_make_install_chatterbox_brings() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    wanted = set(re.findall(r"requirements-chatterbox[\w-]*\.txt", makefile))
    assert wanted <= set(copied_from_the_checkout("Dockerfile.cuda"))
    steps = " ".join(rest for _, rest in read_instructions("Dockerfile.cuda"))
    assert "--no-deps --requirement requirements-chatterbox-parts.txt" in steps


def test_both_images_are_used_alike() -> None:
    plain, cuda = (image_environment(name) for name in DOCKERFILES)
    assert {key: cuda[key] for key in plain} == plain
    for keyword in ("USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"):
        assert last_value("Dockerfile", keyword) == last_value("Dockerfile.cuda", keyword)


async def check_health(port: int) -> int:
    """Run the image's own check; returns its exit status."""
    options, _, command = last_value("Dockerfile", "HEALTHCHECK").partition(" CMD ")
    assert "--start-period" in options
    program, *arguments = json.loads(command)
    assert program == "python"
    environment = {**os.environ, "DUPLEX_TTS_SERVER__PORT": str(port)}
    check = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return await check.wait()


async def test_the_health_check_asks_whether_the_server_can_speak() -> None:
    async with live_server() as live:
        port = int(live.http.rpartition(":")[2])
        assert await check_health(port) == 0
        await live.connections.drain()
        assert await check_health(port) != 0
    assert await check_health(port) != 0


# --- the page and the script ----------------------------------------------------------------------


def test_the_page_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "containers.md").read_text("utf-8")
    named = set(re.findall(r"deploy/containers/[\w.-]*\w", text))
    assert {(ROOT / each).exists() for each in named} == {True}
    assert {f"deploy/containers/{each.name}" for each in CONTAINERS.iterdir()} <= named


def test_the_images_run_as_the_page_and_the_script_say() -> None:
    user = last_value("Dockerfile", "USER")
    script = (CONTAINERS / "build-without-docker.sh").read_text("utf-8")
    assert f"--userspec={user}:0" in script
    assert f"chown {user}" in (ROOT / "docs" / "containers.md").read_text("utf-8")
    assert f"--uid {user} --gid 0" in (CONTAINERS / "Dockerfile").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_image_is_built_and_speaks(tmp_path: Path) -> None:
    programs = ("debootstrap", "buildah")
    if not os.environ.get("BUILD_IMAGE") or not all(map(shutil.which, programs)):
        pytest.skip(
            "takes minutes and 3 GB; as root: apt install debootstrap buildah, BUILD_IMAGE=1"
        )
    subprocess.run([CONTAINERS / "build-without-docker.sh", tmp_path], check=True)
