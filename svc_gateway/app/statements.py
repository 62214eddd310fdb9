"""Signs the set of revoked keys, so that services can keep it on disk and believe it later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mesh.errors import SomaError
from mesh.identity.statements import TYPE, expires_at_s, statement_of
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from svc_gateway.domain.keys import Revocation


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

    async def of(self, current: Mapping[str, Revocation], as_of: datetime) -> str:
        """The statement on the set, read at a moment; empty when it cannot be signed now."""
        moment = int(as_of.timestamp())
        async with self._lock:
            if self._last is not None and self._last[0] is current and self._last[1] == moment:
                return self._last[2]
            revoked = {key_id: expires_at_s(item.expires_at) for key_id, item in current.items()}
            try:
                signed = await self._signer.sign(statement_of(revoked, moment), TYPE)
            except SomaError as error:
                get_logger("svc_gateway").warning("the revoked keys are not signed", reason=error.reason.value)
                return ""
            self._last = (current, moment, signed)
            return signed
