"""Whether every audio format can be encoded."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from backend.doctor.findings import CheckInputs, Finding, Status

_RATE_HZ = 24_000
_MEND = f"{sys.executable} -m pip install --force-reinstall av"


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Encode half a second of a tone in each format."""
    from backend.audio.formats import FORMATS
    from backend.audio.libopus import load_libopus

    failures = {name: why for name in FORMATS if (why := _try_format(name))}
    works = [name for name in FORMATS if name not in failures]
    if works:
        yield Finding("formats", Status.OK, ", ".join(works))
    for name, why in failures.items():
        yield Finding(name, Status.WARNING, f"cannot be encoded: {why}", command=_MEND)
    if load_libopus() is None:
        text = "libopus is not found: the bit rate of opus cannot follow a slow line"
        yield Finding("opus", Status.ABSENT, text, "install libopus (Debian: libopus0)", _MEND)
    else:
        yield Finding("opus", Status.OK, "its bit rate can follow the line")


def _try_format(name: str) -> str:
    """Why the format cannot be encoded; empty if it can."""
    from backend.audio.formats import create_encoder, parse_format

    tone = np.sin(np.arange(_RATE_HZ // 2, dtype=np.float32) * np.float32(0.1)) / 2
    try:
        encoder = create_encoder(_RATE_HZ, parse_format(name, None))
        data = encoder.encode(tone).data + encoder.finish().data
    except (ValueError, OSError, RuntimeError, LookupError) as error:  # FFmpeg's are among them
        return str(error) or type(error).__name__
    return "" if data else "no bytes"
