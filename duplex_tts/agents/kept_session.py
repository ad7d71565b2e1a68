"""A session that is opened when it is first needed, and kept for the whole call."""

from __future__ import annotations

import asyncio

from duplex_tts.agents.speech import Speech
from duplex_tts.channel.context import Parameters
from duplex_tts.options import Options
from duplex_tts.session import Session, check_parameters

FORMAT = "pcm_s16le"


class KeptSession:
    """Opens one session and starts all speeches of a call in it. Use it from one event loop."""

    def __init__(self, url: str, key: str | None, options: Options | None) -> None:
        self._arguments = (url, key, options)
        self._opening = asyncio.Lock()
        self._session: Session | None = None

    @property
    def is_open(self) -> bool:
        """Whether the session was opened and not closed."""
        return self._session is not None

    async def open(self) -> Session:
        """Open the session, or return the open one. Cancel-safe.

        Raises what `Session.connect` raises; the next call tries again.
        """
        async with self._opening:
            if self._session is None:
                self._session = await Session.connect(*self._arguments)
            return self._session

    async def start_speech(self, parameters: Parameters) -> Speech:
        """Start a speech, whose audio is raw 16-bit PCM. Raises what `open` raises."""
        session = await self.open()
        raw: Parameters = {**parameters, "format": FORMAT}
        return Speech(await session.start(**raw))

    async def close(self) -> None:
        """Close the session, if it is open. It is opened again when a speech needs it."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def check_speech_parameters(parameters: Parameters) -> None:
    """Raise `TypeError` for an unknown parameter, `ValueError` for another format."""
    check_parameters(parameters)
    if parameters.get("format") not in (None, FORMAT):
        raise ValueError(f"format: voice agents take {FORMAT}, not {parameters['format']!r}")
