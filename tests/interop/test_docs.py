"""docs/vendor-clients.md: every snippet runs and speaks."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.interop.listening import Ear, decode
from tests.interop.live_servers import Server
from tests.support.repository import ROOT

VENDORS = ["OpenAI", "ElevenLabs", "Cartesia", "Deepgram"]


def snippets(vendor: str) -> list[str]:
    """The indented blocks of the vendor's section."""
    text = (ROOT / "docs" / "vendor-clients.md").read_text("utf-8")
    section = text.partition(f"\n## {vendor}\n")[2].partition("\n## ")[0]
    return [
        textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    ]


def run(snippet: str, server: Server) -> None:
    """As a reader does, with the address of this server."""
    assert "127.0.0.1:8000" in snippet
    exec(snippet.replace("127.0.0.1:8000", server.address), {})


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_snippet_says_hello(
    server: Server, ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hello, _ = snippets(vendor)
    run(hello, server)
    (file,) = tmp_path.iterdir()
    ear.expect(decode(file.read_bytes()), "Hello there.")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_frameworks_take_the_address(server: Server, vendor: str) -> None:
    _, frameworks = snippets(vendor)
    run(frameworks, server)
