"""The JavaScript client in Node, against real servers: the tests of `clients/js/tests`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplex_tts.local_server import local_server
from tests.clients_js.conftest import PACKAGE
from tests.support.repository import ROOT

pytestmark = pytest.mark.slow

KEY = "dtts_test-of-the-javascript-client"
NODE_TEST = ("node", "--test", "--test-timeout=60000")
_OF_THE_CLIENT = (
    r"new WebSocket\(|AudioWorklet\w*|AudioDecoder|createBufferSource"
    r'|type: "(?:start|text|retract|flush|end|cancel|played|ping|resume)"'
)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The addresses of a server, and of one that requires a key."""
    with local_server() as url, local_server("--set", f"access.api_keys={KEY}") as locked:
        yield {
            **os.environ,
            "DUPLEX_TTS_URL": url,
            "DUPLEX_TTS_LOCKED_URL": locked,
            "DUPLEX_TTS_KEY": KEY,
        }


def run(*command: str, environment: dict[str, str] | None = None, folder: Path = PACKAGE) -> str:
    """Run a command, in the package; returns its output, or fails with it."""
    outcome = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def test_the_client_speaks_over_the_sockets_of_ws(
    package: None, environment: dict[str, str]
) -> None:
    run(*NODE_TEST, environment=environment)


def test_the_client_speaks_over_the_sockets_of_node(
    package: None, environment: dict[str, str]
) -> None:
    own = {**environment, "TEST_WEBSOCKET": "own"}
    run("node", "--experimental-websocket", *NODE_TEST[1:], environment=own)


def test_the_types_are_strict_and_refuse_wrong_use(package: None) -> None:
    run("npx", "--no-install", "tsc", "--project", "tests/tsconfig.json")


def test_the_types_name_what_the_package_exports(package: None) -> None:
    code = "console.log(Object.keys(await import('duplex-tts')).sort().join())"
    exported = run("node", "--input-type=module", "--eval", code).strip().split(",")
    types = (PACKAGE / "index.d.ts").read_text("utf-8")
    values = re.findall(r"^export (?:const|class|function) (\w+)", types, re.MULTILINE)
    assert sorted(set(values)) == exported


@pytest.fixture(scope="module")
def checkout(package: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what npm packs: packing replaces its `src` for a moment."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("backend/web/client", "clients/js"):
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def packed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as npm packs it, as its user installs it: beside `ws`."""
    folder = tmp_path_factory.mktemp("application")
    run("npm", "init", "--yes", folder=folder)
    run("npm", "pack", "--silent", str(checkout / "clients" / "js"), folder=folder)
    assert (checkout / "clients" / "js" / "src").is_symlink()
    (archive,) = folder.glob("duplex-tts-*.tgz")
    modules = folder / "node_modules"
    modules.mkdir()
    with tarfile.open(archive) as files:
        files.extractall(modules, filter="data")
    (modules / "package").rename(modules / "duplex-tts")
    (modules / "ws").symlink_to(PACKAGE / "node_modules" / "ws")
    return folder


@pytest.mark.parametrize("document", ["docs/javascript.md", "clients/js/README.md"])
def test_the_documents_give_npm_install_a_file_name_alone(
    checkout: Path, tmp_path: Path, document: str
) -> None:
    commands = re.findall(
        r"npm install.*\$\((npm pack .*?)\)", (ROOT / document).read_text("utf-8")
    )
    assert commands
    for command in commands:
        told = run(*command.replace("PATH", str(checkout)).split(), folder=tmp_path)
        assert re.fullmatch(r"duplex-tts-[\d.]+\.tgz\n", told)


def test_the_packed_package_has_the_files_that_the_page_uses(packed: Path) -> None:
    sources = ROOT / "backend" / "web" / "client"
    installed = packed / "node_modules" / "duplex-tts"
    names = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    own = {f"src/{file.name}" for file in sources.iterdir()}
    assert names == own | {"package.json", "README.md", "index.d.ts"}
    for file in sources.iterdir():
        assert (installed / "src" / file.name).read_bytes() == file.read_bytes()


def test_the_packed_package_has_no_dependencies_and_our_version(packed: Path) -> None:
    manifest = json.loads((packed / "node_modules" / "duplex-tts" / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "dependencies" not in manifest
    assert manifest["peerDependenciesMeta"] == {"ws": {"optional": True}}
    assert manifest["version"] == project["version"]


def test_the_example_writes_an_answer_while_it_is_written(
    packed: Path, environment: dict[str, str]
) -> None:
    example = packed / "llm_to_file.mjs"
    example.write_bytes((PACKAGE / "examples" / example.name).read_bytes())
    url = environment["DUPLEX_TTS_URL"]
    told = run("node", str(example), str(packed / "answer.wav"), url)
    assert "the first sound after" in told
    with wave.open(str(packed / "answer.wav")) as sound:
        assert sound.getnframes() / sound.getframerate() > 3


def test_the_steps_of_the_document_write_a_file(packed: Path, environment: dict[str, str]) -> None:
    document = (ROOT / "docs" / "javascript.md").read_text("utf-8")
    program = re.findall(r"```js\n(.*?)```", document, re.DOTALL)[0]
    url = environment["DUPLEX_TTS_URL"]
    (packed / "say.mjs").write_text(program.replace("http://127.0.0.1:8000", url), "utf-8")
    run("node", "say.mjs", folder=packed)
    with wave.open(str(packed / "hello.wav")) as sound:
        assert sound.getnframes() > 0


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (PACKAGE / "package-lock.json").read_text("utf-8")


def test_the_page_has_no_second_implementation() -> None:
    """What the package does, the page does with it: sockets, the protocol, and the audio output."""
    web = ROOT / "backend" / "web"
    for file in web.rglob("*.js"):
        if file.parent.name != "client":
            found = re.findall(_OF_THE_CLIENT, file.read_text("utf-8"))
            assert not found, f"{file.relative_to(web)}: {found}"
