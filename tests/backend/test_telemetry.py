"""Nothing leaves the machine: libraries that could report to their publishers are told not to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT

LOAD = "import backend.engines.onnx_graph as graph; graph.ort.get_available_providers()"


def test_onnxruntime_prepares_no_report(tmp_path: Path) -> None:
    """It creates an identifier of the machine and a database of events when it is loaded."""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []
