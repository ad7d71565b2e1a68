"""The configurations of docs/deploy.md, each with the real proxy and TLS."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from websockets.asyncio.client import connect

from backend.endpoints.pages import WEB
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server
from tests.support.repository import ROOT

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs" / "deploy.md"
BLOCKS = re.findall(r"```(nginx|caddy)\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
NGINX, CADDY = ([text for kind, text in BLOCKS if kind == name] for name in ("nginx", "caddy"))
NGINX_FULL_PATH = NGINX[1].replace("127.0.0.1:8000/;", "127.0.0.1:8000;")


@dataclass(frozen=True)
class ProxySetup:
    """A proxy's configuration; `root_path`: the server's setting."""

    program: str
    config: str
    prefix: str
    root_path: str = ""


PREFIX_HEADER = "        proxy_set_header X-Forwarded-Prefix /tts;\n"
SETUPS = {
    "nginx": ProxySetup("nginx", NGINX[0], ""),
    "nginx, stripped": ProxySetup("nginx", NGINX[1], "/tts"),
    "nginx, passed on": ProxySetup("nginx", NGINX_FULL_PATH, "/tts"),
    "nginx, stripped, no header": ProxySetup("nginx", NGINX[1].replace(PREFIX_HEADER, ""), "/tts"),
    "nginx, passed on, set": ProxySetup(
        "nginx", NGINX_FULL_PATH.replace(PREFIX_HEADER, ""), "/tts", "/tts"
    ),
    "caddy": ProxySetup("caddy", CADDY[0], ""),
    "caddy, stripped": ProxySetup("caddy", CADDY[1], "/tts"),
}


def test_every_configuration_in_the_docs_is_tested() -> None:
    assert {setup.config for setup in SETUPS.values()} >= {text for _, text in BLOCKS}
    assert NGINX[1] != NGINX_FULL_PATH
    assert PREFIX_HEADER in NGINX[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem and key.pem, for localhost."""
    return create_certificate(tmp_path_factory.mktemp("certificate"))


def create_certificate(folder: Path) -> Path:
    """Create cert.pem and key.pem in a folder."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to create a certificate")
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = "-keyout key.pem -out cert.pem"
    command = ["openssl", *f"{arguments} {names} {files}".split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@dataclass(frozen=True)
class PublicSite:
    """The server as seen through the proxy."""

    url: str  # ends with a slash
    tls: ssl.SSLContext

    def http(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=self.tls, **options)

    def websocket(self, path: str = "ws/tts?key=one") -> Any:
        url = urljoin(self.url, path).replace("https", "wss")
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(self.url))
        return connect(url, ssl=self.tls, additional_headers={"Origin": origin})


@asynccontextmanager
async def run_proxy(
    setup: ProxySetup, folder: Path, certificate: Path, address: str
) -> AsyncIterator[PublicSite]:
    """Run the proxy in front of a server while the block runs."""
    program = shutil.which(setup.program, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"needs {setup.program}: `make {setup.program}` installs it or shows how")
    port = free_port()
    arguments, environment = write_config(setup, folder, certificate, f"{port} {address}")
    proxy = await asyncio.create_subprocess_exec(
        program, *arguments, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    tls = ssl.create_default_context(cafile=certificate / "cert.pem")
    try:
        await wait_listening(port, proxy)
        yield PublicSite(f"https://localhost:{port}{setup.prefix}/", tls)
    finally:
        if proxy.returncode is None:
            proxy.terminate()
        await proxy.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def write_config(
    setup: ProxySetup, folder: Path, certificate: Path, addresses: str
) -> tuple[list[str], dict[str, str]]:
    """Write the docs' configuration with other ports, names and files. Returns the proxy's
    arguments and environment.
    """
    port, server = addresses.split()
    text = setup.config.replace("127.0.0.1:8000", server)
    file = folder / "config"
    if setup.program == "nginx":
        text = re.sub(r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl", text)
        text = re.sub(r"server_name .*;", "server_name localhost;", text)
        text = re.sub(r"/etc/ssl/\S+\.pem", str(certificate / "cert.pem"), text)
        text = re.sub(r"/etc/ssl/\S+\.key", str(certificate / "key.pem"), text)
        temp_paths = "".join(
            f"{kind}_temp_path {folder / kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        file.write_text(
            f"{user}daemon off;\npid {folder / 'pid'};\nerror_log stderr;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temp_paths}{text}\n}}\n"
        )
        return ["-e", "stderr", "-p", str(folder), "-c", str(file)], {}
    tls = f"tls {certificate / 'cert.pem'} {certificate / 'key.pem'}"
    site = re.sub(r"^\S+ {", f"https://localhost:{port} {{\n    bind 127.0.0.1\n    {tls}", text)
    file.write_text(f"{{\n admin off\n auto_https disable_redirects\n}}\n{site}")
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return ["run", "--adapter", "caddyfile", "--config", str(file)], homes


async def wait_listening(port: int, proxy: asyncio.subprocess.Process) -> None:
    for _ in range(600):
        if proxy.returncode is not None:
            assert proxy.stderr is not None
            pytest.fail((await proxy.stderr.read()).decode())
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    pytest.fail("the proxy never listened")


KEY = {"Authorization": "Bearer one"}


@pytest.fixture(params=SETUPS)
def proxy_setup(request: pytest.FixtureRequest) -> ProxySetup:
    return SETUPS[request.param]


def loaded_by(site: str, file: Path) -> Iterator[str]:
    """The addresses of what a page or a script of `WEB` loads."""
    text, own = file.read_text("utf-8"), urljoin(site, file.relative_to(WEB).as_posix())
    if file.suffix == ".html":
        page = site + ("dashboard" if file.stem == "dashboard" else "")
        names = re.findall(r'(?:href|src)="([^"#]+)"', text)
        yield from (urljoin(page, name) for name in names)
        return
    modules = r'(?<!["\w])(?:from|import|new URL\()\s*"(\.?/?[^"]+\.js)"'
    yield from (urljoin(own, name) for name in re.findall(modules, text))
    fetched = r'fetch\("([^"]+)"(?!, \{\s*method)'  # of the page that runs the script
    yield from (urljoin(site, name) for name in re.findall(fetched, text))


async def test_pages_and_their_links_are_served(
    proxy_setup: ProxySetup, tmp_path: Path, certificate: Path
) -> None:
    server = {"root_path": proxy_setup.root_path}
    async with (
        live_server(access={"api_keys": "one"}, server=server) as live,
        run_proxy(proxy_setup, tmp_path, certificate, live.address) as site,
        site.http() as http,
    ):
        for page, path in (("index.html", ""), ("dashboard.html", "dashboard")):
            assert (await http.get(path)).content == (WEB / page).read_bytes()
        for file in (*WEB.rglob("*.html"), *WEB.rglob("*.js")):
            for address in loaded_by(site.url, file):
                answer = await http.get(address, headers=KEY)
                assert answer.status_code == 200, (file.name, address)
                assert str(answer.url).startswith(site.url)
        if proxy_setup.prefix:
            bare = await http.get(site.url.rstrip("/"), follow_redirects=True)
            assert str(bare.url) == site.url
            assert bare.content == (WEB / "index.html").read_bytes()


async def test_websockets_speech_and_uploads_pass(
    proxy_setup: ProxySetup, tmp_path: Path, certificate: Path
) -> None:
    server = {"root_path": proxy_setup.root_path}
    async with (
        live_server(CloningModel(), access={"api_keys": "one"}, server=server) as live,
        run_proxy(proxy_setup, tmp_path, certificate, live.address) as site,
        site.http(headers=KEY) as http,
    ):
        async with site.websocket() as websocket:
            assert json.loads(await websocket.recv())["type"] == "ready"
            await websocket.send('{"type": "text", "text": "Hi."}')
            await websocket.send('{"type": "end"}')
            while not isinstance(message := await websocket.recv(), str):
                pass
            assert json.loads(message)["type"] == "done"
        origin = {"Origin": "{0.scheme}://{0.netloc}".format(urlsplit(site.url))}
        spoken = await http.post("v1/speech", json={"text": "Hi."}, headers=origin)
        assert spoken.status_code == 200
        foreign_origin = {"Origin": "https://evil.example"}
        assert (await http.post("v1/speech", headers=foreign_origin)).status_code == 403
        files: Any = {"name": (None, "mine"), "audio": ("a.wav", recording(30, rate_hz=48_000))}
        assert (await http.post("v1/voices", files=files)).status_code == 201
        sonic = {"model_id": "s", "voice": "heart", "transcript": "Hi."}
        output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
        cartesia = await http.post("tts/bytes", json={**sonic, "output_format": output})
        assert cartesia.status_code == 200


async def test_speech_is_streamed_without_buffering(
    proxy_setup: ProxySetup, tmp_path: Path, certificate: Path
) -> None:
    gate, server = threading.Semaphore(1), {"root_path": proxy_setup.root_path}  # 1 for the warm-up
    async with (
        live_server(FakeModel(gate=gate), access={"api_keys": "one"}, server=server) as live,
        run_proxy(proxy_setup, tmp_path, certificate, live.address) as site,
        site.http(headers=KEY, timeout=10) as http,
    ):
        gate.release()
        body = {"text": "One sentence. And another one, which does not come yet."}
        async with http.stream("POST", "v1/speech", json=body) as answer:
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines))["type"]
            gate.release(1000)
            assert [json.loads(line)["type"] async for line in lines][-1] == "done"


async def test_the_server_sees_the_real_client_address_and_url(
    proxy_setup: ProxySetup, tmp_path: Path, certificate: Path
) -> None:
    async with (
        live_server(
            access={"api_keys": "one"}, server={"root_path": proxy_setup.root_path}
        ) as live,
        run_proxy(proxy_setup, tmp_path, certificate, live.address) as site,
        site.http(headers={**KEY, "X-Forwarded-For": "203.0.113.7"}) as http,
    ):
        seen: list[Any] = []

        async def see(request: Request) -> Response:
            assert request.client is not None
            seen.append((request.client.host, str(request.base_url)))
            return Response()

        live.app.add_route("/seen", see)
        assert (await http.get("seen")).status_code == 200
        host, address = seen[0]
        assert host == "127.0.0.1", "a client's own header is not trusted"
        prefix_is_known = proxy_setup.root_path or "X-Forwarded-Prefix" in proxy_setup.config
        assert address == (site.url if prefix_is_known else urljoin(site.url, "/"))
