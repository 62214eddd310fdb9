"""Capabilities and ladders in Postgres, with their events in the same transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mesh.events.audit import canonical
from mesh.stores.idempotency import RepeatedRequestError, RequestTable
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
from svc_registry.app.ports import OwnedLadderKey, Quotas
from svc_registry.domain import require_capability_quota, require_ladder_quota

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_registry.app.ports import ChangedKey, Request
    from svc_registry.domain import Capability, CapabilityKey, Health, Ladder, LadderKey

PAGE = 500
REQUESTS = RequestTable("registrations", "capability_id")
"""What a request wrote: a capability's id, or the name of a ladder."""


class EventFactory(Protocol):
    """Makes the event that tells others of a capability."""

    def __call__(self, capability: Capability, subject: str) -> Event: ...


def _scope(tenant_id: str) -> str:
    """In whose name a transaction runs: the tenant's, or the system's for what is the platform's."""
    return tenant_id or SYSTEM


def _scope_of_write(tenant_id: str, request: Request | None) -> str:
    """The owner's, or the system's where the request that is remembered with the write is of another tenant."""
    return _scope(tenant_id) if request is None or request.tenant_id == tenant_id else SYSTEM


async def _keep(connection: asyncpg.Connection, request: Request | None, name: str) -> None:
    if request is not None:
        await REQUESTS.record_new(connection, request.tenant_id, request.key, name)


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
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_scope_of_write(capability.tenant_id, request)) as connection:
                if not await self._write(connection, capability, expected_version, subject):
                    return False
                await _keep(connection, request, capability.capability_id)
            return True
        return False

    async def _write(
        self, connection: asyncpg.Connection, capability: Capability, expected_version: int, subject: str
    ) -> bool:
        write, columns = sql.INSERT_CAPABILITY, definition_columns(capability)
        if expected_version:
            write, columns = sql.UPDATE_CAPABILITY, (*columns, expected_version)
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
        await self._announce(connection, capability.key)
        return True

    async def _require_capability_quota(
        self, connection: asyncpg.Connection, tenant_id: str, *, has_record: bool
    ) -> None:
        await connection.execute(sql.LOCK_OF_TENANT, "registry.capabilities", tenant_id)
        count = await connection.fetchrow(sql.COUNT_CAPABILITIES, tenant_id)
        require_capability_quota(count["live"], count["records"], self._quotas.capabilities, has_record=has_record)

    async def change_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audited: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        """Changes health while the row is locked."""
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_scope_of_write(key.tenant_id, request)) as connection:
                found = await self._locked(connection, key)
                if found is None or found.deleted_at is not None:
                    return None
                await _keep(connection, request, key.capability_id)
                health = change(found.health)
                await connection.execute(sql.UPDATE_HEALTH, *key_columns(key), *health_columns(health))
                await self._audit_health(connection, key, found.health, health, audited(found.health, health))
                await self._announce(connection, key)
            return replace(found, health=health)
        return found

    async def _audit_health(
        self, connection: asyncpg.Connection, key: CapabilityKey, before: Health, after: Health, action: str
    ) -> None:
        if action:
            await self._auditor.record(
                connection,
                action=action,
                resource_type="capability_health",
                resource_id=key.capability_id,
                before=canonical(before),
                after=canonical(after),
                tenant_id=key.tenant_id,
                reason=after.reason,
            )

    @staticmethod
    async def _locked(connection: asyncpg.Connection, key: CapabilityKey) -> Capability | None:
        row = await connection.fetchrow(sql.LOCKED_CAPABILITY, *key_columns(key))
        return capability_from(row) if row else None

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        """Writes the ladder when the stored version is the expected one."""
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_scope_of_write(ladder.tenant_id, request)) as connection:
                if not await self._write_ladder(connection, ladder, expected_version):
                    return False
                await _keep(connection, request, ladder.key.name)
            return True
        return False

    async def _write_ladder(self, connection: asyncpg.Connection, ladder: Ladder, expected_version: int) -> bool:
        key = (ladder.tenant_id, ladder.key.modality.value, ladder.key.task_type)
        columns = (*key, list(ladder.capability_ids), ladder.version, ladder.updated_by, ladder.updated_at)
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
            resource_id=ladder.key.name,
            before=canonical(ladder_from(before)) if before else None,
            after=canonical(ladder),
            tenant_id=ladder.tenant_id,
        )
        await self._announce(connection, OwnedLadderKey(ladder.tenant_id, ladder.key))
        return True

    async def replayed(self, request: Request) -> str | None:
        """What the request wrote before."""
        if not request.key.request_id:
            return None
        async with self._postgres.transaction(request.tenant_id) as connection:
            return await REQUESTS.written_before(connection, request.tenant_id, request.key)

    async def remember(self, request: Request, name: str) -> None:
        """Keeps what a request wrote."""
        if request.key.request_id:
            async with self._postgres.transaction(request.tenant_id) as connection:
                await REQUESTS.record(connection, request.tenant_id, request.key, name)

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
