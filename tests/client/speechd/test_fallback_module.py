import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from duplex_tts.speechd.fallback_module import FallbackModule
from duplex_tts.speechd.module_protocol import Message

# A module that answers as espeak-ng's: what comes within a message is its text. It exits when the
# file `die` is there, once.
MODULE = """#!{python}
import os, sys
data = None
for line in sys.stdin:
    line = line.strip()
    if data is None:
        if line == "INIT": print("299 OK")
        elif line in ("SPEAK", "SET", "AUDIO"): data = line; print("203 OK")
    elif line == ".":
        if data == "SPEAK":
            if os.path.exists({die!r}): os.remove({die!r}); sys.exit(1)
            print("200 OK SPEAKING\\n701 BEGIN")
            print("705-bits=16\\n705-AUDIO\\0" + text + "\\n705 AUDIO\\n702 END")
        else: print("203 OK")
        data = None
    elif data == "SET" and "=" not in line: print("302 ERROR BAD SYNTAX"); data = None
    else: text = line
    sys.stdout.flush()
"""


@asynccontextmanager
async def started_module(folder: Path) -> AsyncIterator[FallbackModule]:
    program = folder / "sd_other"
    program.write_text(MODULE.format(python=sys.executable, die=str(folder / "die")))
    program.chmod(0o755)
    module = await FallbackModule.start(program)
    try:
        yield module
    finally:
        process = module._process
        module.close()
        if process is not None:
            await process.wait()


async def speak(module: FallbackModule, text: str) -> list[bytes]:
    return [event async for event in module.speak(Message("text", text), {"rate": "0"})]


def spoken(text: str) -> list[bytes]:
    return [b"705-bits=16\n705-AUDIO\0" + text.encode() + b"\n705 AUDIO\n"]


async def stop_at_line(
    module: FallbackModule, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speak, and stop when this line of the module's answers and events is awaited."""
    read_line, lines = module._read_line, 0

    async def count_line() -> bytes:
        nonlocal lines
        lines += 1
        if lines == number:
            speech.cancel()
        return await read_line()

    with monkeypatch.context() as patched:
        patched.setattr(module, "_read_line", count_line)
        speech = asyncio.create_task(speak(module, "Stopped"))
        await asyncio.gather(speech, return_exceptions=True)
    assert speech.cancelled()


async def test_a_stop_at_any_time_leaves_the_next_message_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started_module(tmp_path) as module:
        for number in range(1, 7):
            await stop_at_line(module, number, monkeypatch)
            assert await speak(module, f"Next {number}") == spoken(f"Next {number}")


async def test_a_module_that_failed_is_started_again_even_if_its_message_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started_module(tmp_path) as module:
        (tmp_path / "die").touch()
        await stop_at_line(module, 4, monkeypatch)
        assert await speak(module, "Next") == spoken("Next")
