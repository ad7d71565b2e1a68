"""The npm package of `clients/js`, with what its tests need; skipped where Node is missing."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.repository import ROOT

PACKAGE = ROOT / "clients" / "js"
OLDEST_NODE = 20


@pytest.fixture(scope="package")
def package() -> None:
    """`clients/js`, ready to be tested."""
    if shutil.which("npm") is None or _node_version() < OLDEST_NODE:
        pytest.skip(f"needs Node {OLDEST_NODE} or newer on the PATH: https://nodejs.org")
    if not (PACKAGE / "node_modules").is_dir():
        pytest.skip("needs the packages of clients/js: `make test-js` installs them")


def _node_version() -> int:
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    return int(answer.stdout.removeprefix("v").split(".")[0])
