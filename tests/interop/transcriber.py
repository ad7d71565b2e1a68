"""Hears what is said, in the project's own Python: `listening.Ear` runs it as a child process.

A line in is JSON, {"wav": path of 16 kHz mono s16, "text": what it should say}; a line out is
{"heard": ..., "errors": ..., "words": ...}.
"""

from __future__ import annotations

import json
import sys

import soundfile

from bench.harness.judge import Judge, word_errors


def main() -> None:
    """Answer until stdin ends."""
    judge = Judge(threads=2)
    for line in sys.stdin:
        asked = json.loads(line)
        speech, _ = soundfile.read(asked["wav"], dtype="float32")
        heard = judge.transcribe(speech)
        found = word_errors(asked["text"], heard)
        print(json.dumps({"heard": heard, "errors": found.errors, "words": found.words}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
