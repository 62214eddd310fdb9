"""The key ids that must be refused, as the gateway streams them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mesh.errors import SomaError
from mesh.identity.statements import StoredRevocations, expires_at_s
from mesh.logging import get_logger
from mesh.rpc.wellknown import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from mesh.clock import Clock
    from mesh.identity.statements import RevocationsFile

PAUSE_S = 0.2
MAX_AGE_S = 900.0
_NEVER = 253_402_300_799
"""Seconds since 1970 that stand for a key without an end: the end of the year 9999."""

_log = get_logger(__name__)


class Revocation(Protocol):
    """What is used of `soma.gateway.v1.Revocation`."""

    @property
    def key_id(self) -> str:
        """The key."""

    @property
    def expire_time(self) -> Timestamp:
        """When the key would have expired."""


class Revocations(Protocol):
    """What is used of `soma.gateway.v1.WatchRevocationsResponse`."""

    @property
    def snapshot(self) -> bool:
        """Whether the gateway's whole set follows."""

    @property
    def revocations(self) -> Sequence[Revocation]:
        """Revoked keys."""

    @property
    def as_of(self) -> Timestamp:
        """When the gateway read its set; not set before all of it was sent."""

    @property
    def statement(self) -> str:
        """The gateway's signature of what it sent."""


Watch: TypeAlias = "Callable[[], AsyncIterable[Revocations]]"
"""Opens the gateway's stream."""


class RevokedKeys:
    """Says whether a key is revoked. A key leaves the set when it expires: no gateway takes back what another told.

    `is_current` says whether the set is known as of at most `max_age_s` seconds ago. With a file the set outlives the
    process.
    """

    def __init__(self, clock: Clock, file: RevocationsFile | None = None, max_age_s: float = MAX_AGE_S) -> None:
        self._clock = clock
        self._file = file
        self._max_age_s = max_age_s
        self._until: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._as_of: int | None = None
        self._heard = asyncio.Event()

    def __call__(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._until

    def is_current(self) -> bool:
        """Whether a gateway's whole set was read recently enough to accept what is not in it."""
        return self._as_of is not None and self._clock.now().timestamp() - self._as_of <= self._max_age_s

    async def restore(self) -> None:
        """Take in the set on disk, of an earlier process."""
        if self._file is None:
            return
        try:
            found = await asyncio.to_thread(self._file.read)
        except OSError as error:
            _log.warning("the revoked keys on disk cannot be read", error=type(error).__name__)
            return
        if found is not None:
            self._add(found[1])
            self._complete(found[0])

    async def wait_current(self, within_s: float) -> bool:
        """Wait until the set is current; false when it is not within the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self.is_current():
                    self._heard.clear()
                    await self._heard.wait()
        return self.is_current()

    async def follow(self, watch: Watch) -> None:
        """Follows the stream for ever, opening it again after each cut."""
        heard = True
        while True:
            try:
                async for message in watch():
                    await self._take(message)
                    heard = True
            except SomaError as error:
                if heard:
                    _log.warning("revocations are not heard", reason=error.reason.value)
                heard = False
            await self._clock.sleep(PAUSE_S)

    async def _take(self, message: Revocations) -> None:
        told = {item.key_id: _seconds(item.expire_time) for item in message.revocations}
        self._sent = told if message.snapshot else {**self._sent, **told}
        self._add(told)
        as_of = moment(message.as_of)
        if as_of is None:
            return
        self._complete(int(as_of.timestamp()))
        self._sent = {key_id: until for key_id, until in self._sent.items() if until > as_of.timestamp()}
        if message.statement or told:  # without either nothing has changed, and what is on disk is still whole
            await self._store(message.statement)

    def _add(self, told: Mapping[str, int]) -> None:
        now = self._clock.now().timestamp()
        known = {key_id: until for key_id, until in self._until.items() if until > now}
        # A key that was known with a later end keeps it.
        self._until = known | {key_id: max(until, known.get(key_id, 0)) for key_id, until in told.items()}

    def _complete(self, as_of: int) -> None:
        self._as_of = max(as_of, self._as_of or 0)
        self._heard.set()

    async def _store(self, statement: str) -> None:
        """Keep the set on disk; what cannot be kept leaves nothing there, since an older set would lack revocations."""
        if self._file is None:
            return
        extra = {key_id: until for key_id, until in self._until.items() if key_id not in self._sent}
        try:
            if self._file.stated(statement, self._sent) is None:
                _log.warning("the revoked keys are not kept on disk: they are not signed")
                await asyncio.to_thread(self._file.remove)
            else:
                await asyncio.to_thread(self._file.write, StoredRevocations(statement, self._sent, extra))
        except OSError as error:
            _log.warning("the revoked keys are not kept on disk", error=type(error).__name__)
            with suppress(OSError):
                await asyncio.to_thread(self._file.remove)


def _seconds(expire_time: Timestamp) -> int:
    until = moment(expire_time)
    return _NEVER if until is None else expires_at_s(until)
