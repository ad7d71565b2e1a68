"""The Duplex TTS server; see `docs/architecture.md`."""

import os

# Nothing leaves the machine: onnxruntime's wheels report to their publisher unless told not to
# before they are loaded, by whichever module comes first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
