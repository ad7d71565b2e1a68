"""The list of checks, in the order of the report. Imports none of them: each runs in a process."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from backend.doctor.findings import CheckInputs, Status

_QUICK_S = 60.0  # imports take seconds on a busy machine
_TORCH_S = 240.0  # the first import after a start of the machine reads gigabytes

_REINSTALL = f"{sys.executable} -m pip install --force-reinstall"


@dataclass(frozen=True, slots=True)
class Check:
    """A check: the module of this package that does it, its title, and its limit.

    `remedy`, `command`: what to do if it crashes or hangs. `is_essential`: the server cannot run if
    this fails; `of_chatterbox`: it cannot run with that engine.
    """

    module: str
    title: str
    timeout_s: float = _QUICK_S
    remedy: str = "run duplex-tts doctor again; if it stays so, report this line"
    command: str = ""
    is_essential: bool = False
    of_chatterbox: bool = False

    def failure_status(self, inputs: CheckInputs) -> Status:
        """The status of a crash or a hang of the check."""
        if self.is_essential:
            return Status.ERROR
        return inputs.if_broken if self.of_chatterbox else Status.WARNING


CHECKS = (
    Check("system", "System"),
    Check("server", "Server", command=f"{_REINSTALL} duplex-tts", is_essential=True),
    Check(
        "port",
        "Port",
        remedy="the program that holds the port does not answer: end it, or choose another port",
        is_essential=True,
    ),
    Check("codecs", "Codecs", command=f"{_REINSTALL} av"),
    Check("sound_output", "Sound output"),
    Check("extras", "Extras"),
    Check(
        "card",
        "Graphics card",
        remedy="the driver does not answer: see `dmesg` (Xid), restart the machine",
    ),
    Check(
        "torch_build",
        "Torch",
        _TORCH_S,
        remedy="torch is broken: install it again. Until then: duplex-tts serve --engine hibari",
        command=f"{_REINSTALL} torch",
        of_chatterbox=True,
    ),
    Check(
        "chatterbox_packages",
        "Chatterbox",
        _TORCH_S,
        remedy="install its packages again. Until then: duplex-tts serve --engine hibari",
        command="rm -f .venv/installed-chatterbox && make install-chatterbox",
        of_chatterbox=True,
    ),
    Check("weights", "Weights", of_chatterbox=True),
    Check("voices", "Voices"),
)

SELF_TEST = "self_test"


def self_test(inputs: CheckInputs) -> Check:
    """The self-test of `inputs.engine`, or of the engine that the settings choose."""
    chosen = not inputs.engine
    title = f"Self-test of {inputs.engine}" if inputs.engine else "Self-test"
    return Check(
        SELF_TEST,
        title,
        inputs.budget_s,
        remedy="give it more time with --timeout, or use the embedded voice: "
        "duplex-tts serve --engine hibari",
        is_essential=chosen,
    )
