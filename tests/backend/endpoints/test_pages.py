"""The pages as files: who may ask for what, under which rules the browser shows them."""

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


def small_site(folder: Path) -> TestClient:
    app = Starlette()
    install_pages(app, folder)
    return TestClient(app)


def test_the_page_is_at_the_root(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (WEB / "index.html").read_bytes()


@pytest.mark.parametrize("file", sorted(WEB.iterdir()), ids=lambda file: file.name)
def test_every_file_of_web_is_served_under_the_rules(client: TestClient, file: Path) -> None:
    path = {"index.html": "/"}.get(file.name, f"/{file.name.removesuffix('.html')}")
    answer = client.get(path)
    assert answer.content == file.read_bytes()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"unsafe|https?:|\*|data:", policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("manifest.webmanifest", "application/manifest+json"),
    ],
)
def test_files_have_the_types_that_browsers_insist_on(
    client: TestClient, name: str, media_type: str
) -> None:
    assert client.get(f"/{name}").headers["content-type"] == media_type


def test_the_app_can_be_installed(client: TestClient) -> None:
    manifest = client.get("/manifest.webmanifest").json()
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        data = client.get(f"/{icon['src']}").content
        if icon["type"] == "image/png":
            assert "{}x{}".format(*Image.open(io.BytesIO(data)).size) == icon["sizes"]


def test_pages_that_are_missing_are_warned_of_at_the_start(tmp_path: Path) -> None:
    structlog.reset_defaults()
    (tmp_path / "index.html").touch()
    with capture_logs() as logs:
        small_site(tmp_path)
    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert "no dashboard.html in" in warning["why"]
    assert "install duplex-tts again" in warning["why"]


def test_nothing_is_warned_of_where_all_pages_are() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        install_pages(Starlette())
    assert not logs


def test_a_browser_that_has_the_file_is_not_sent_it_again(client: TestClient) -> None:
    tag = client.get("/main.js").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        answer = client.get("/main.js", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert "content-security-policy" in answer.headers
    assert client.get("/main.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_changed_file_has_another_tag(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = small_site(tmp_path).get("/a.js").headers["etag"]
    (tmp_path / "a.js").write_text("2")
    assert small_site(tmp_path).get("/a.js").headers["etag"] != before


@pytest.mark.parametrize(
    "path",
    ["/nothing.js", "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml", "/web"],
)
def test_nothing_but_these_files_can_be_asked_for(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_files_of_other_types_stay_here(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "page.html").write_text("yours")
    site = small_site(tmp_path)
    assert site.get("/notes.txt").status_code == 404
    assert site.get("/page").text == "yours"


def test_a_missing_folder_is_no_page(tmp_path: Path) -> None:
    assert small_site(tmp_path / "none").get("/").status_code == 404


class Reader(HTMLParser):
    """Collects what the policy would forbid."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            inline = name == "style" or name.startswith("on")
            foreign = name in {"src", "href"} and re.match(r"(\w+:|//)", value or "")
            if inline or foreign:
                self.forbidden.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._tag in {"script", "style"} and data.strip():
            self.forbidden.append(f"{self._tag}: {data[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


@pytest.mark.parametrize("file", sorted(WEB.glob("*.html")), ids=lambda file: file.name)
def test_no_page_carries_code_or_names_another_place(file: Path) -> None:
    reader = Reader()
    reader.feed(file.read_text("utf-8"))
    assert reader.forbidden == []


@pytest.mark.parametrize("file", sorted(WEB.glob("*.js")), ids=lambda file: file.name)
def test_no_script_makes_markup_or_code_of_text(file: Path) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not re.search(markup, file.read_text("utf-8"))
