"""A pool of sessions by call id: one session for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from duplex_tts.channel.address import DEFAULT_URL
from duplex_tts.channel.direct import AvoidedAddresses
from duplex_tts.errors import ClientError, ConnectionLost, Refused
from duplex_tts.options import Options, Stats
from duplex_tts.session import Connecting, Session
from duplex_tts.wording import count_noun


@dataclass(slots=True)
class _Call:
    opening: asyncio.Task[Session]
    used_s: float
    utterances: int = 0


class SessionManager:
    """Sessions by call id; used as a block, it closes them all at the end.

    A session is closed after `idle_s` seconds without speech and without a call of
    `get_or_create`, which then opens a new one. Use it from one event loop.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        limit: int = 100,
        idle_s: float = 600.0,
        options: Options | None = None,
    ) -> None:
        """`limit`: maximum number of sessions. The others are those of `Session.connect`."""
        self._connect = partial(Connecting, url, key, options, AvoidedAddresses())
        self._limit = limit
        self._idle_s = idle_s
        self._calls: dict[str, _Call] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False

    async def get_or_create(self, call_id: str) -> Session:
        """Return the call's session; concurrent calls get the same one.

        Raises what `Session.connect` raises, `ConnectionLost` when it is closed meanwhile, and
        `Refused` with the code `too_many_sessions` when `limit` others are open. Cancel-safe:
        other callers keep waiting.
        """
        if self._closed:
            raise ConnectionLost("the session manager is closed")
        call = self._calls.get(call_id)
        if call is None:
            call = self._open_call(call_id)
        call.used_s = _now_s()
        try:
            return await asyncio.shield(call.opening)
        except ClientError:
            if self._calls.get(call_id) is call:
                del self._calls[call_id]
            raise
        except asyncio.CancelledError:
            if call.opening.cancelled():
                raise ConnectionLost(f"the session of {call_id!r} was closed meanwhile") from None
            raise

    async def close(self, call_id: str) -> None:
        """Close the call's session, if any; returns when it is closed."""
        if call := self._calls.pop(call_id, None):
            await _close_call(call)

    async def close_all(self) -> None:
        """Close all sessions; afterwards `get_or_create` raises `ConnectionLost`."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        calls, self._calls = list(self._calls.values()), {}
        await asyncio.gather(*map(_close_call, calls), *self._closing)

    def stats(self) -> dict[str, Stats]:
        """Statistics of the open sessions, by call id."""
        open_ = {id_: call.opening for id_, call in self._calls.items() if _is_open(call)}
        return {id_: opening.result().stats() for id_, opening in open_.items()}

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close_all()

    def _open_call(self, call_id: str) -> _Call:
        if len(self._calls) >= self._limit:
            raise Refused(
                "too_many_sessions",
                f"{count_noun(self._limit, 'session')} open already; "
                "close one, or raise the manager's limit",
            )
        name = f"duplex-tts-call {call_id}"
        opening = asyncio.create_task(_open_session(self._connect), name=name)
        call = self._calls[call_id] = _Call(opening, _now_s())
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._close_idle(), name="duplex-tts-sweep")
        return call

    async def _close_idle(self) -> None:
        """Close idle sessions, until cancelled."""
        while True:
            await asyncio.sleep(self._idle_s / 4)
            for call_id, call in list(self._calls.items()):
                if _is_open(call) and self._is_idle(call):
                    del self._calls[call_id]
                    task = asyncio.create_task(_close_call(call))
                    self._closing.add(task)
                    task.add_done_callback(self._closing.discard)

    def _is_idle(self, call: _Call) -> bool:
        stats = call.opening.result().stats()
        if stats.in_flight or stats.utterances > call.utterances:
            call.used_s, call.utterances = _now_s(), stats.utterances
        return _now_s() - call.used_s > self._idle_s


async def _open_session(connect: Callable[[], Connecting]) -> Session:
    return await connect()


async def _close_call(call: _Call) -> None:
    call.opening.cancel()
    await asyncio.wait([call.opening])
    if _is_open(call):
        await call.opening.result().close()


def _is_open(call: _Call) -> bool:
    opening = call.opening
    return opening.done() and not opening.cancelled() and opening.exception() is None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
