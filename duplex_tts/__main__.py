"""`python -m duplex_tts` is `duplex-tts`."""

from __future__ import annotations

from duplex_tts.cli.interrupts import exit_at_once


def main() -> None:
    """Run the command line. What it imports takes a second, in which one may be interrupted."""
    exit_at_once()
    from duplex_tts.cli.app import app

    app(prog_name="duplex-tts")


if __name__ == "__main__":
    main()
