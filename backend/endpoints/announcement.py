"""Announces the Wyoming port in the local network by mDNS, so that Home Assistant finds it.

Needs zeroconf: `pip install 'duplex-tts[discovery]'`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from zeroconf import Error
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

log = structlog.get_logger(__name__)

SERVICE_TYPE = "_wyoming._tcp.local."
_CHECK_INTERVAL_S = 30.0  # for addresses that came or went
_NAME_BYTES = 63  # of a DNS label

FindAddresses = Callable[[], Sequence[str]]


@asynccontextmanager
async def announcing(find_addresses: FindAddresses, port: int) -> AsyncIterator[None]:
    """Announce the port during the block, also when the machine's addresses change.

    `find_addresses` may block; it is called in a thread. Trouble with the network is logged, and
    tried again.
    """
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_keep_announcing(find_addresses, port), name="announcement")
        try:
            yield
        finally:
            task.cancel()


async def _keep_announcing(find_addresses: FindAddresses, port: int) -> None:
    told = ""
    while True:
        addresses = list(await asyncio.to_thread(find_addresses))
        try:
            await _announce_while_valid(addresses, find_addresses, port)
            told = ""
        # RuntimeError: the address is gone; ValueError: the machine's name is no text.
        except (OSError, RuntimeError, ValueError, Error) as error:
            if told != (told := repr(error)):
                log.warning("announcement.failed", why=told, again_s=_CHECK_INTERVAL_S)
            await asyncio.sleep(_CHECK_INTERVAL_S)


async def _announce_while_valid(
    addresses: list[str], find_addresses: FindAddresses, port: int
) -> None:
    """Announce these addresses until the machine has others."""
    if not addresses:
        raise OSError("this machine has no address in a network")
    responder = AsyncZeroconf(interfaces=addresses)
    try:
        await (await responder.async_register_service(_describe_service(addresses, port)))
        log.info("announcement.made", addresses=addresses, port=port)
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            if addresses != list(await asyncio.to_thread(find_addresses)):
                return
    finally:
        with suppress(OSError):  # the network may be gone
            await responder.async_close()  # says goodbye


def _describe_service(addresses: list[str], port: int) -> AsyncServiceInfo:
    """The service. Its name stays the same: Home Assistant knows the server again by it."""
    machine = socket.gethostname().partition(".")[0]
    ending = f"-{port}"
    name = f"duplex-tts-{machine}"[: _NAME_BYTES - len(ending)] + ending
    return AsyncServiceInfo(
        SERVICE_TYPE, f"{name}.{SERVICE_TYPE}", port=port, parsed_addresses=addresses
    )
