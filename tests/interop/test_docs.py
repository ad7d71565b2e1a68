"""docs/vendor-clients.md: every snippet runs and speaks."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.interop.listening import SpeechChecker, decode
from tests.interop.live_servers import RunningServer
from tests.support.repository import ROOT

VENDORS = ["OpenAI", "ElevenLabs", "Cartesia", "Deepgram", "Together"]


def snippets(vendor: str) -> list[str]:
    """The indented blocks of the vendor's section."""
    text = (ROOT / "docs" / "vendor-clients.md").read_text("utf-8")
    section = text.partition(f"\n## {vendor}\n")[2].partition("\n## ")[0]
    return [
        textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    ]


def run(snippet: str, server: RunningServer) -> None:
    """As a reader does, with the address of this server."""
    assert "127.0.0.1:8000" in snippet
    exec(snippet.replace("127.0.0.1:8000", server.address), {})


@pytest.mark.parametrize("vendor", [*VENDORS, "Mistral"])
def test_snippet_speaks_hello(
    server: RunningServer,
    checker: SpeechChecker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vendor: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    hello, *_ = snippets(vendor)
    run(hello, server)
    (file,) = tmp_path.iterdir()
    checker.expect_speech(decode(file.read_bytes()), "Hello there.")


@pytest.mark.parametrize("vendor", VENDORS)
async def test_framework_snippet_accepts_the_address(server: RunningServer, vendor: str) -> None:
    _, frameworks = snippets(vendor)
    run(frameworks, server)
