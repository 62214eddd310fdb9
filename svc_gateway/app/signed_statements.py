"""Signs the sets of revoked and of existing keys, so that services can keep them on disk and believe them later."""

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
    from svc_gateway.app.revocations import RevokedKeys

KEYS_SIGNED_S = 60
"""How long a statement on the existing keys is used again while they stay the same, and how often watchers get one."""
SIGN_WITHIN_S = 2.0
"""A signature that takes longer is given up, in seconds."""
RETRY_S = 5.0
"""How long nothing is signed after a signature that failed, in seconds: the next would most likely fail as slowly."""
PAUSE_S = 0.5
"""At least between a reading of the revoked keys and the signature on it, in seconds: each hashes all of them."""
PAUSE_FACTOR = 20
"""The revoked keys are hashed again only after so many times as long as hashing them took."""


class Statements:
    """Signs each state of the sets once, however many watch it, in the background: no watcher waits for a signature."""

    def __init__(self, signer: StatementSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._resume_at = 0.0
        self._hashing_s = 0.0
        self._wanted: tuple[KeyIds, int] | None = None
        self._requested = asyncio.Event()
        self._of_keys: tuple[KeyIds, int, str] | None = None

    async def sign_revoked(self, revoked: RevokedKeys) -> None:
        """Sign the newest reading of the revoked keys, again and again, for ever.

        The first is signed at once, since services wait for it; a later one after a pause: whoever revokes a key is
        answered before the keys are hashed.
        """
        pause_s = 0.0
        while True:
            await revoked.wait_unsigned()
            await self._clock.sleep(pause_s)
            version, current = revoked.current()
            content = partial(statement_of, current, int(version.as_of.timestamp()))
            await revoked.publish_signed(version, await self._sign(content, TYPE))
            pause_s = max(PAUSE_S, PAUSE_FACTOR * self._hashing_s)

    def of_keys(self, ids: KeyIds, as_of: datetime) -> str:
        """The statement on the existing keys, made within the last minute; empty until `sign_keys` has made it."""
        moment, made = int(as_of.timestamp()), self._of_keys
        if made is not None and made[0] is ids and moment - made[1] < KEYS_SIGNED_S:
            return made[2]
        self._wanted = (ids, moment)
        self._requested.set()
        return ""

    async def sign_keys(self) -> None:
        """Sign the existing keys that were asked for last, again and again, for ever."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            if self._wanted is None:
                continue
            ids, moment = self._wanted
            signed = await self._sign(partial(statement_of_keys, ids, moment), KEYS_TYPE)
            if signed:
                self._of_keys = (ids, moment, signed)

    async def _sign(self, content: Callable[[], dict[str, object]], typ: str) -> str:
        """A JWS; empty when it cannot be made now."""
        if self._clock.monotonic() < self._resume_at:
            return ""
        began = self._clock.monotonic()
        payload = await asyncio.to_thread(content)
        self._hashing_s = self._clock.monotonic() - began
        try:
            async with asyncio.timeout(SIGN_WITHIN_S):
                return await self._signer.sign(payload, typ)
        except SomaError as error:
            reason = error.reason.value
        except TimeoutError:
            reason = "no answer in time"
        self._resume_at = self._clock.monotonic() + RETRY_S
        get_logger("svc_gateway").warning("keys are not signed", type=typ, reason=reason)
        return ""
