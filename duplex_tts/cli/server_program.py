"""Runs a program of the server: `python -m duplex_tts.cli.server_program MODULE FLAGS`.

No traceback when it is interrupted or when a package is missing.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import NoReturn

from duplex_tts.cli.interrupts import exit_at_once, hold_back, interruptible

_REMEDY = "pip install --force-reinstall duplex-tts, or `make run` in a clone"


def become(module: str, arguments: list[str]) -> NoReturn:
    """Replace this process by the program `module` of the server."""
    hold_back()
    # -P: a folder named `backend` where the user happens to be is not ours.
    command = [sys.executable, "-P", "-m", "duplex_tts.cli.server_program", module, *arguments]
    os.execv(sys.executable, command)


def main() -> None:
    """Be the program that the first argument names."""
    exit_at_once()
    name, *arguments = sys.argv[1:]
    program = _imported(name)
    with interruptible() as interruption:
        try:
            program.main(arguments)
        except (KeyboardInterrupt, SystemExit):
            if interruption.number is None:
                raise
            sys.exit(interruption.exit_code)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or str(error)).removesuffix(".__main__")
        sys.exit(f"duplex-tts: {missing} is not installed; {_REMEDY}")


if __name__ == "__main__":
    main()
