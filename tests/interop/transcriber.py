"""Transcribes speech in the project's Python: a child process of `listening.SpeechChecker`.

An input line is JSON, {"wav": path of 16 kHz mono s16, "text": the expected text}; an output line
is {"heard": ..., "errors": ..., "words": ...}.
"""

from __future__ import annotations

import json
import sys

import soundfile

from bench.harness.judge import Judge, word_errors


def main() -> None:
    """Answer requests until stdin ends."""
    judge = Judge(threads=2)
    for line in sys.stdin:
        request = json.loads(line)
        speech, _ = soundfile.read(request["wav"], dtype="float32")
        transcript = judge.transcribe(speech)
        result = word_errors(request["text"], transcript)
        print(json.dumps({"heard": transcript, "errors": result.errors, "words": result.words}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
