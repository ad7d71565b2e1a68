"""Entry point of `duplex-tts` and of `python -m duplex_tts`."""

from __future__ import annotations

from duplex_tts.cli.interrupts import exit_on_signals


def main() -> None:
    """Run the command line. Its imports take a second; Ctrl-C works during that time, too."""
    exit_on_signals()
    from duplex_tts.cli.app import app

    app(prog_name="duplex-tts")


if __name__ == "__main__":
    main()
