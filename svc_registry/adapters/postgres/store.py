"""Capabilities and ladders in Postgres, with their events in the same transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError
from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from svc_registry.adapters.postgres import statements as sql
from svc_registry.adapters.postgres.announcing import CHANNEL, announcement, changed_from
from svc_registry.adapters.postgres.rows import (
    audited,
    capability_from,
    definition_columns,
    health_columns,
    key_columns,
    ladder_from,
)
from svc_registry.domain import OwnedLadderKey, Quotas, require_capability_quota, require_ladder_quota

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_registry.domain import (
        Capability,
        CapabilityKey,
        ChangedKey,
        Health,
        Ladder,
        LadderKey,
        Request,
    )

PAGE = 500


class EventFactory(Protocol):
    """Makes the event that tells others of a capability."""

    def __call__(self, capability: Capability, subject: str) -> Event: ...


def _scope(tenant_id: str) -> str:
    """In whose name a transaction runs: the tenant's, or the system's for what is the platform's."""
    return tenant_id or SYSTEM


def _scope_of_write(tenant_id: str, request: Request | None) -> str:
    """The owner's, or the system's where the request that is remembered with the write is of another tenant."""
    return _scope(tenant_id) if request is None or request.tenant_id == tenant_id else SYSTEM


def _columns(request: Request) -> tuple[str, str, str]:
    return request.tenant_id, request.request_id, request.digest


class PostgresStore:
    """The store of a cluster; changes are announced with NOTIFY, which Postgres sends after the commit."""

    def __init__(
        self,
        postgres: Postgres,
        outbox: Outbox,
        auditor: Auditor,
        make_event: EventFactory,
        quotas: Quotas | None = None,
    ) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._make_event = make_event
        self._quotas = quotas or Quotas()

    async def capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """All of them, ordered by owner and id; each page is a transaction of its own."""
        after = ("", "", "")
        while True:
            async with self._postgres.transaction(SYSTEM) as connection:
                rows = await connection.fetch(sql.CAPABILITIES, *after, PAGE)
            yield [capability_from(row) for row in rows]
            if len(rows) < PAGE:
                return
            after = (rows[-1]["tenant_id"], rows[-1]["tool_id"], rows[-1]["provider"])

    async def ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        """All of them, ordered by owner and key."""
        after = ("", "", "")
        while True:
            async with self._postgres.transaction(SYSTEM) as connection:
                rows = await connection.fetch(sql.LADDERS, *after, PAGE)
            yield [ladder_from(row) for row in rows]
            if len(rows) < PAGE:
                return
            after = (rows[-1]["tenant_id"], rows[-1]["modality"], rows[-1]["task_type"])

    async def capability(self, key: CapabilityKey) -> Capability | None:
        """One, as it is now."""
        async with self._postgres.transaction(_scope(key.tenant_id)) as connection:
            row = await connection.fetchrow(sql.CAPABILITY, *key_columns(key))
        return capability_from(row) if row else None

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now."""
        async with self._postgres.transaction(_scope(tenant_id)) as connection:
            row = await connection.fetchrow(sql.LADDER, tenant_id, key.modality.value, key.task_type)
        return ladder_from(row) if row else None

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        """Writes the capability and its event when the stored version is the expected one."""
        write, columns = sql.INSERT_CAPABILITY, definition_columns(capability)
        if expected_version:
            write, columns = sql.UPDATE_CAPABILITY, (*columns, expected_version)
        async with self._postgres.transaction(_scope_of_write(capability.tenant_id, request)) as connection:
            before = await self._locked(connection, capability.key)
            if (before.version if before else 0) != expected_version:
                return False
            if capability.tenant_id and capability.deleted_at is None and (before is None or before.deleted_at):
                await self._require_capability_quota(connection, capability.tenant_id, has_record=before is not None)
            if await connection.fetchval(write, *columns) is None:
                return False
            await self._outbox.add(connection, self._make_event(capability, subject))
            await self._auditor.record(
                connection,
                action="capability.write",
                resource_type="capability",
                resource_id=capability.capability_id,
                before=audited(before) if before and not before.deleted_at else None,
                after=None if capability.deleted_at else audited(capability),
                tenant_id=capability.tenant_id,
            )
            if request is not None and request.request_id:
                await connection.execute(sql.INSERT_REQUEST, *_columns(request), capability.capability_id)
            await self._announce(connection, capability.key)
        return True

    async def _require_capability_quota(
        self, connection: asyncpg.Connection, tenant_id: str, *, has_record: bool
    ) -> None:
        await connection.execute(sql.LOCK_OF_TENANT, "registry.capabilities", tenant_id)
        count = await connection.fetchrow(sql.COUNT_CAPABILITIES, tenant_id)
        require_capability_quota(count["live"], count["records"], self._quotas.capabilities, has_record=has_record)

    async def change_health(
        self, key: CapabilityKey, change: Callable[[Health], Health], audited: Callable[[Health, Health], str]
    ) -> Capability | None:
        """Changes health while the row is locked."""
        async with self._postgres.transaction(_scope(key.tenant_id)) as connection:
            found = await self._locked(connection, key)
            if found is None or found.deleted_at is not None:
                return None
            health = change(found.health)
            await connection.execute(sql.UPDATE_HEALTH, *key_columns(key), *health_columns(health))
            action = audited(found.health, health)
            if action:
                await self._auditor.record(
                    connection,
                    action=action,
                    resource_type="capability_health",
                    resource_id=key.capability_id,
                    before=canonical(found.health),
                    after=canonical(health),
                    tenant_id=key.tenant_id,
                    reason=health.reason,
                )
            await self._announce(connection, key)
        return replace(found, health=health)

    @staticmethod
    async def _locked(connection: asyncpg.Connection, key: CapabilityKey) -> Capability | None:
        row = await connection.fetchrow(sql.LOCKED_CAPABILITY, *key_columns(key))
        return capability_from(row) if row else None

    async def save_ladder(self, ladder: Ladder, expected_version: int) -> bool:
        """Writes the ladder when the stored version is the expected one."""
        key = (ladder.tenant_id, ladder.key.modality.value, ladder.key.task_type)
        columns = (*key, list(ladder.capability_ids), ladder.version, ladder.updated_by, ladder.updated_at)
        async with self._postgres.transaction(_scope(ladder.tenant_id)) as connection:
            before = await connection.fetchrow(sql.LOCKED_LADDER, *key)
            if before is None and ladder.tenant_id:
                await connection.execute(sql.LOCK_OF_TENANT, "registry.ladders", ladder.tenant_id)
                count = await connection.fetchval(sql.COUNT_LADDERS, ladder.tenant_id)
                require_ladder_quota(count, self._quotas.ladders)
            done = (
                await connection.fetchval(sql.UPDATE_LADDER, *columns, expected_version)
                if expected_version
                else await connection.fetchval(sql.INSERT_LADDER, *columns)
            )
            if done is None:
                return False
            await self._auditor.record(
                connection,
                action="ladder.write",
                resource_type="ladder",
                resource_id="/".join(key[1:]),
                before=canonical(ladder_from(before)) if before else None,
                after=canonical(ladder),
                tenant_id=ladder.tenant_id,
            )
            await self._announce(connection, OwnedLadderKey(ladder.tenant_id, ladder.key))
        return True

    async def replayed(self, request: Request) -> str | None:
        """What the request wrote before."""
        if not request.request_id:
            return None
        async with self._postgres.transaction(request.tenant_id) as connection:
            row = await connection.fetchrow(sql.REQUEST, request.tenant_id, request.request_id)
        if row is None:
            return None
        if row["digest"] != request.digest:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
        return str(row["capability_id"])

    async def remember(self, request: Request, capability_id: str) -> None:
        """Keeps what a request wrote."""
        if request.request_id:
            async with self._postgres.transaction(request.tenant_id) as connection:
                await connection.execute(sql.INSERT_REQUEST, *_columns(request), capability_id)

    @asynccontextmanager
    async def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Follows the announcements of every process."""

        def on_notification(payload: str) -> None:
            changed = changed_from(payload)
            if changed is None:
                on_reset()
            else:
                on_change(changed)

        async with self._postgres.listen(CHANNEL, on_notification):
            yield

    @staticmethod
    async def _announce(connection: asyncpg.Connection, changed: ChangedKey) -> None:
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, announcement(changed))
