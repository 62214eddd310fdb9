"""Signs the sets of revoked and of existing keys, so that services can keep them on disk and believe them later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mesh.errors import SomaError
from mesh.identity.statements import KEYS_TYPE, TYPE, expires_at_s, statement_of, statement_of_keys
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mesh.identity.key_ids import KeyIds
    from svc_gateway.domain.keys import Revocation

KEYS_SIGNED_S = 60
"""How long a statement on the existing keys is used again while they stay the same, and how often watchers get one."""


class StatementSigner(Protocol):
    """Signs what is not a token."""

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        """A JWS of a type."""


class Statements:
    """Signs each state of the set once, however many watch it."""

    def __init__(self, signer: StatementSigner) -> None:
        self._signer = signer
        self._lock = asyncio.Lock()
        self._last: tuple[Mapping[str, Revocation], int, str] | None = None
        self._last_of_keys: tuple[KeyIds, int, str] | None = None

    async def of(self, current: Mapping[str, Revocation], as_of: datetime) -> str:
        """The statement on the set, read at a moment; empty when it cannot be signed now."""
        moment = int(as_of.timestamp())
        async with self._lock:
            if self._last is not None and self._last[0] is current and self._last[1] == moment:
                return self._last[2]
            content = await asyncio.to_thread(_content, current, moment)
            signed = await self._signed(content, TYPE)
            self._last = (current, moment, signed) if signed else self._last
            return signed

    async def of_keys(self, ids: KeyIds, as_of: datetime) -> str:
        """The statement on the existing keys, as of a moment or a minute before; empty when it cannot be signed."""
        moment = int(as_of.timestamp())
        async with self._lock:
            last = self._last_of_keys
            if last is not None and last[0] is ids and moment - last[1] < KEYS_SIGNED_S:
                return last[2]
            content = await asyncio.to_thread(statement_of_keys, ids, moment)
            signed = await self._signed(content, KEYS_TYPE)
            self._last_of_keys = (ids, moment, signed) if signed else last
            return signed

    async def _signed(self, content: dict[str, object], typ: str) -> str:
        try:
            return await self._signer.sign(content, typ)
        except SomaError as error:
            get_logger("svc_gateway").warning("keys are not signed", type=typ, reason=error.reason.value)
            return ""


def _content(current: Mapping[str, Revocation], moment: int) -> dict[str, object]:
    return statement_of({key_id: expires_at_s(item.expires_at) for key_id, item in current.items()}, moment)
