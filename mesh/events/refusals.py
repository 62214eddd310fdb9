"""Audit entries of callers who were refused, written off the path of the calls."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from mesh import tracing
from mesh.errors import SomaError
from mesh.events.audit import DENIED, Audited, Doer
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

LIMIT = 1_000
"""Refusals that may wait. Under a flood the surplus is dropped and counted: refusing must stay cheap."""
BATCH = 200
_log = logging.getLogger(__name__)


class Refusals:
    """A bounded queue of refusals before the outbox."""

    def __init__(self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str]) -> None:
        self._auditor = auditor
        self._postgres = postgres
        self._clock = clock
        self._policy_id = policy_id
        self._waiting: deque[Audited] = deque()
        self._arrived = asyncio.Event()
        self._shed = counter("audit_refusals_shed_total", "Refusals that were not audited, because too many waited.")

    def note(self, action: str, method: str, caller: Caller, why: str) -> None:
        """Take a refusal of a call; never waits."""
        if len(self._waiting) >= LIMIT:
            self._shed.labels().inc()
            return
        self._waiting.append(
            Audited(
                action=action,
                resource_type="rpc",
                resource_id=method,
                tenant_id=caller.tenant_id,
                reason=why,
                decision=DENIED,
                by=Doer(caller.subject, caller.actor, tracing.current()),
                policy_id=self._policy_id(),
                at=self._clock.now(),
            )
        )
        self._arrived.set()

    async def write(self) -> None:
        """Write what comes, for ever; what could not be written still waits when this is called again."""
        while True:
            await self._flush()
            await self._arrived.wait()
            self._arrived.clear()

    async def close(self) -> None:
        """Write what is left, if the database takes it."""
        try:
            await self._flush()
        except SomaError as error:
            _log.warning("%d refusals are not audited: %s", len(self._waiting), error.reason.value)

    async def _flush(self) -> None:
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            async with self._postgres.transaction(SYSTEM) as connection:
                await self._auditor.record_all(connection, batch)
            for _ in batch:
                self._waiting.popleft()
