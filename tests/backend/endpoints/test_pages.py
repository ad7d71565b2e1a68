"""Serving of the web pages: paths, headers and content security policy."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import structlog
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from backend.endpoints.pages import WEB, install_pages


@pytest.fixture
def client() -> TestClient:
    app = Starlette()
    install_pages(app)
    return TestClient(app)


def serve_folder(folder: Path) -> TestClient:
    app = Starlette()
    install_pages(app, folder)
    return TestClient(app)


def test_index_is_served_at_the_root(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (WEB / "index.html").read_bytes()


FILES = [file for file in sorted(WEB.rglob("*")) if file.is_file()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_served_with_security_headers(client: TestClient, file: Path) -> None:
    name = file.relative_to(WEB).as_posix()
    path = {"index.html": "/"}.get(name, f"/{name.removesuffix('.html')}")
    response = client.get(path)
    assert response.content == file.read_bytes()
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|https?:|\*|data:", policy)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page/main.js", "text/javascript; charset=utf-8"),
        ("page/style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("manifest.webmanifest", "application/manifest+json"),
    ],
)
def test_files_have_their_media_types(client: TestClient, name: str, media_type: str) -> None:
    assert client.get(f"/{name}").headers["content-type"] == media_type


def test_manifest_and_icons_are_valid(client: TestClient) -> None:
    manifest = client.get("/manifest.webmanifest").json()
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        data = client.get(f"/{icon['src']}").content
        if icon["type"] == "image/png":
            assert "{}x{}".format(*Image.open(io.BytesIO(data)).size) == icon["sizes"]


def test_missing_page_is_logged_at_startup(tmp_path: Path) -> None:
    structlog.reset_defaults()
    (tmp_path / "index.html").touch()
    with capture_logs() as logs:
        serve_folder(tmp_path)
    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert "no dashboard.html in" in warning["why"]
    assert "install duplex-tts again" in warning["why"]


def test_complete_pages_log_nothing() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        install_pages(Starlette())
    assert not logs


def test_matching_etag_gets_304(client: TestClient) -> None:
    tag = client.get("/page/main.js").headers["etag"]
    for tags in (tag, f"W/{tag}", f'"other", {tag}'):
        response = client.get("/page/main.js", headers={"If-None-Match": tags})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert "content-security-policy" in response.headers
    assert client.get("/page/main.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_changed_file_has_another_etag(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = serve_folder(tmp_path).get("/a.js").headers["etag"]
    (tmp_path / "a.js").write_text("2")
    assert serve_folder(tmp_path).get("/a.js").headers["etag"] != before


@pytest.mark.parametrize(
    "path",
    ["/nothing.js", "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml", "/web"],
)
def test_other_paths_get_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_files_of_other_types_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "page.html").write_text("yours")
    site = serve_folder(tmp_path)
    assert site.get("/notes.txt").status_code == 404
    assert site.get("/page").text == "yours"


def test_missing_folder_serves_nothing(tmp_path: Path) -> None:
    assert serve_folder(tmp_path / "none").get("/").status_code == 404


class PolicyChecker(HTMLParser):
    """Collects markup that the policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            is_inline = name == "style" or name.startswith("on")
            is_foreign = name in {"src", "href"} and re.match(r"(\w+:|//)", value or "")
            if is_inline or is_foreign:
                self.forbidden.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._tag in {"script", "style"} and data.strip():
            self.forbidden.append(f"{self._tag}: {data[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


@pytest.mark.parametrize("file", sorted(WEB.glob("*.html")), ids=lambda file: file.name)
def test_pages_have_no_inline_code_or_foreign_urls(file: Path) -> None:
    checker = PolicyChecker()
    checker.feed(file.read_text("utf-8"))
    assert checker.forbidden == []


@pytest.mark.parametrize("file", sorted(WEB.glob("*.js")), ids=lambda file: file.name)
def test_scripts_never_turn_text_into_markup_or_code(file: Path) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(markup, file.read_text("utf-8"))
