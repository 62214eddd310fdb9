"""Receives Postgres notifications on a connection of its own, and comes back after losing it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Self

import asyncpg

from mesh.lifecycle import background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_PROBE_EVERY_S = 30.0
_PROBE_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class Listener:
    """LISTEN on one channel for as long as it is entered."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        channel: str,
        callback: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._callback = callback
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start to listen; the callback says when the connection stands."""
        await self._stack.enter_async_context(background(self._run, f"listen.{self._channel}", clock=self._clock))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop and close the connection."""
        await self._stack.aclose()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await self._listen_once()
                pause = _FIRST_PAUSE_S
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("notifications of %s are interrupted: %s", self._channel, type(error).__name__)
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _listen_once(self) -> None:
        """Listen until the connection is lost."""
        connection = await self._connect()
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, self._notified)
            self._callback("")
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PROBE_EVERY_S):
                        await lost.wait()
                if not lost.is_set():  # a peer that vanished without a word is only found by asking
                    await connection.fetchval("SELECT 1", timeout=_PROBE_TIMEOUT_S)
        finally:
            connection.terminate()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._callback(str(payload))
