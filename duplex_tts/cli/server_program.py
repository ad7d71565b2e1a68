"""Runs a program of the server: `python -m duplex_tts.cli.server_program MODULE FLAGS`.

Prints no traceback when interrupted or when a package is missing.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import NoReturn

from duplex_tts.cli.interrupts import block_signals, exit_on_signals, interruptible

_REMEDY = "pip install --force-reinstall duplex-tts, or `make run` in a clone"
_CLUSTER_REMEDY = "pip install 'duplex-tts[cluster]', or `make install-cluster` in a clone"


def exec_program(module: str, arguments: list[str]) -> NoReturn:
    """Replace this process by a program of the server: the `main` of `module`."""
    block_signals()
    # -P: do not import a `backend` folder of the current directory.
    command = [sys.executable, "-P", "-m", "duplex_tts.cli.server_program", module, *arguments]
    os.execv(sys.executable, command)


def main() -> None:
    """Run the `main` of the module that the first argument names."""
    exit_on_signals()
    name, *arguments = sys.argv[1:]
    program = _import_program(name)
    with interruptible() as interruption:
        try:
            program.main(arguments)
        except (KeyboardInterrupt, SystemExit):
            if interruption.signal_number is None:
                raise
            sys.exit(interruption.exit_code)


def _import_program(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or str(error)).removesuffix(".__main__")
        remedy = _CLUSTER_REMEDY if missing == "ray" else _REMEDY
        sys.exit(f"duplex-tts: {missing} is not installed; {remedy}")


if __name__ == "__main__":
    main()
