"""The output module: `python -m duplex_tts.speechd CONFIG`, run by Speech Dispatcher.

Reads commands on stdin and answers on stdout; stderr is the daemon's log of the module.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from duplex_tts.errors import ClientError
from duplex_tts.speechd.daemon_output import Output, shorten_pipe
from duplex_tts.speechd.module_config import ModuleConfig, read_config
from duplex_tts.speechd.module_protocol import encode_init
from duplex_tts.speechd.output_module import OutputModule
from duplex_tts.speechd.server_link import ServerLink


async def run_module(config: ModuleConfig) -> None:
    """Serve the daemon until QUIT or the end of stdin."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)  # a message is one line, at most
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, pipe = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    shorten_pipe(sys.stdout.buffer)
    output = Output(asyncio.StreamWriter(transport, pipe, None, loop))
    link = ServerLink(config)
    connecting = asyncio.create_task(link.run(), name="link")
    module = OutputModule(config, link, output)
    try:
        while not module.over and (line := await read_line(reader)):
            await module.process_line(line.rstrip(b"\r\n"))
        await output.drain()
    finally:
        connecting.cancel()
        await module.close()
        await asyncio.gather(connecting, return_exceptions=True)


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """Read a line; empty at the end. Of one that is longer than the limit only the rest is read."""
    while True:
        try:
            return await reader.readline()
        except ValueError:
            print("a line is too long: its beginning is not spoken", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    """Run the module. `arguments`: the path of its configuration file, from the daemon."""
    try:
        config = read_config(Path(arguments[0] if arguments else os.devnull))
    except ClientError as error:
        _refuse(str(error))
        return
    asyncio.run(run_module(config))


def _refuse(reason: str) -> None:
    """Answer INIT with an error: the daemon logs it and speaks with other modules."""
    sys.stdin.readline()
    sys.stdout.buffer.write(encode_init(reason, ready=False))
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
