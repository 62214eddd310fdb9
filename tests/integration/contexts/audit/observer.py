"""Calls methods as one caller, and notes which audit entries each call left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.context import Caller, RequestContext, use
from mesh.ids import SystemIds
from mesh.testing.audit import entries
from soma.events.v1.audit_pb2 import AuditRecorded

if TYPE_CHECKING:
    from mesh.stores.postgres import Postgres

TENANT = "acme"
SECRET = "canary-7f3a"
ROLES = ("viewer", "member", "admin", "platform_admin")
TRACE = "0af7651916cd43dd8448eb211c80319c"
ALICE = RequestContext(Caller(TENANT, "alice", ROLES, (), "key", "token"), "request", TRACE)
CLOCK, IDS = SystemClock(), SystemIds()
Told = list[tuple[str, AuditRecorded]]


class Call:
    """What servicers use of the context of a call."""

    @staticmethod
    def invocation_metadata() -> tuple[()]:
        return ()

    @staticmethod
    async def send_initial_metadata(_: object) -> None:
        """Nothing."""


@dataclass
class AuditObserver:
    """Notes which entries each operation left in the outbox."""

    postgres: Postgres
    told: dict[str, Told] = field(default_factory=dict)
    _seen: int = 0

    async def call(self, service: str, servicer: object, method: str, request: object) -> object:
        """Call a method as Alice."""
        with use(ALICE):
            answer = await getattr(servicer, method)(request, Call())
        await self.note(f"{service}.{method}")
        return answer

    async def note(self, operation: str) -> None:
        """Note what was told since the last operation."""
        found = await entries(self.postgres)
        self.told[operation] = found[self._seen :]
        self._seen = len(found)
