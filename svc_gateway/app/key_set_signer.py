"""Signs the sets of revoked and of existing keys, so that services can store them on disk and verify them later."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.identity.signed_statements import KEYS_TYPE, TYPE, statement_of, statement_of_keys
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mesh.clock import Clock
    from mesh.identity.key_ids import KeyIds
    from svc_gateway.app.ports import StatementSigner
    from svc_gateway.app.revoked_key_feed import RevokedKeyFeed

STATEMENT_MAX_AGE_S = 60
"""How long a statement on the existing keys is reused while they stay the same; also the interval of sending it."""
SIGN_TIMEOUT_S = 2.0
"""Timeout of a signature, in seconds."""
RETRY_S = 5.0
"""Pause after a failed signature, in seconds: the next one would most likely fail as slowly."""
PAUSE_S = 0.5
"""Minimum delay of a signature after a reading of the revoked keys, in seconds: each hashes all of them."""
PAUSE_FACTOR = 20
"""The delay is also at least so many times as long as the last hashing took."""


class KeySetSigner:
    """Signs each version of the sets once for all watchers, in the background: no watcher waits for a signature."""

    def __init__(self, signer: StatementSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._resume_at = 0.0
        self._hashing_s = 0.0
        self._requested_keys: tuple[KeyIds, int] | None = None
        self._requested = asyncio.Event()
        self._existing: tuple[KeyIds, int, str] | None = None

    async def sign_revoked(self, revoked: RevokedKeyFeed) -> None:
        """Signs the newest reading of the revoked keys whenever there is one, forever.

        The first is signed at once, since services wait for it; a later one after a delay: the call that revokes a key
        is answered before the keys are hashed.
        """
        pause_s = 0.0
        while True:
            await revoked.wait_for_unsigned()
            await self._clock.sleep(pause_s)
            version, expires_at_s = revoked.newest_version()
            content = partial(statement_of, expires_at_s, int(version.as_of.timestamp()))
            await revoked.publish_signed(version, await self._sign(content, TYPE))
            pause_s = max(PAUSE_S, PAUSE_FACTOR * self._hashing_s)

    def existing_statement(self, ids: KeyIds, as_of: datetime) -> str:
        """Returns the statement on the existing keys, at most a minute old; empty until `sign_existing` signed it."""
        as_of_s, signed = int(as_of.timestamp()), self._existing
        if signed is not None and signed[0] is ids and as_of_s - signed[1] < STATEMENT_MAX_AGE_S:
            return signed[2]
        self._requested_keys = (ids, as_of_s)
        self._requested.set()
        return ""

    async def sign_existing(self) -> None:
        """Signs the existing keys that were requested last, forever."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            if self._requested_keys is None:
                continue
            ids, as_of_s = self._requested_keys
            signed = await self._sign(partial(statement_of_keys, ids, as_of_s), KEYS_TYPE)
            if signed:
                self._existing = (ids, as_of_s, signed)

    async def _sign(self, content: Callable[[], dict[str, object]], typ: str) -> str:
        """Returns a JWS; empty when it cannot be signed now."""
        if self._clock.monotonic() < self._resume_at:
            return ""
        started = self._clock.monotonic()
        payload = await asyncio.to_thread(content)
        self._hashing_s = self._clock.monotonic() - started
        try:
            async with asyncio.timeout(SIGN_TIMEOUT_S):
                return await self._signer.sign(payload, typ)
        except SomaError as error:
            reason = error.reason.value
        except TimeoutError:
            reason = "no answer in time"
        self._resume_at = self._clock.monotonic() + RETRY_S
        get_logger("svc_gateway").warning("keys are not signed", type=typ, reason=reason)
        return ""
