"""Capabilities and ladders in Postgres, with their events in the same transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mesh.events.audit import canonical
from mesh.stores.idempotency import RepeatedRequestError, RequestTable
from mesh.stores.postgres import SYSTEM
from svc_registry.adapters.postgres import statements as sql
from svc_registry.adapters.postgres.notifications import CHANNEL, decode_notification, encode_notification
from svc_registry.adapters.postgres.rows import (
    canonical_definition,
    capability_from_row,
    definition_columns,
    health_columns,
    key_columns,
    ladder_from_row,
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

PAGE_SIZE = 500
REQUESTS = RequestTable("registrations", "capability_id")
"""The requests that were applied, each with the id of the capability or the name of the ladder that it wrote."""


class EventFactory(Protocol):
    """Makes the event of a changed capability; `subject` is who changed it."""

    def __call__(self, capability: Capability, subject: str) -> Event: ...


def _row_tenant(tenant_id: str) -> str:
    """Returns the tenant of a transaction on rows of an owner: SYSTEM for those of the platform."""
    return tenant_id or SYSTEM


def _write_tenant(tenant_id: str, request: Request | None) -> str:
    """Returns the tenant of a write: SYSTEM where the request that is saved with it is of another tenant."""
    return _row_tenant(tenant_id) if request is None or request.tenant_id == tenant_id else SYSTEM


async def _save_request(connection: asyncpg.Connection, request: Request | None, written: str) -> None:
    if request is not None:
        await REQUESTS.record_new(connection, request.tenant_id, request.key, written)


class PostgresStore:
    """The store and the change feed in Postgres; changes are sent with NOTIFY, which is delivered after the commit."""

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

    async def list_capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """Returns the capabilities of all owners, ordered by owner and id; each page has its own transaction."""
        after = ("", "", "")
        while True:
            async with self._postgres.transaction(SYSTEM) as connection:
                rows = await connection.fetch(sql.SELECT_CAPABILITIES, *after, PAGE_SIZE)
            yield [capability_from_row(row) for row in rows]
            if len(rows) < PAGE_SIZE:
                return
            after = (rows[-1]["tenant_id"], rows[-1]["tool_id"], rows[-1]["provider"])

    async def list_ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        """Returns the ladders of all owners, ordered by owner and key; each page has its own transaction."""
        after = ("", "", "")
        while True:
            async with self._postgres.transaction(SYSTEM) as connection:
                rows = await connection.fetch(sql.SELECT_LADDERS, *after, PAGE_SIZE)
            yield [ladder_from_row(row) for row in rows]
            if len(rows) < PAGE_SIZE:
                return
            after = (rows[-1]["tenant_id"], rows[-1]["modality"], rows[-1]["task_type"])

    async def get_capability(self, key: CapabilityKey) -> Capability | None:
        async with self._postgres.transaction(_row_tenant(key.tenant_id)) as connection:
            row = await connection.fetchrow(sql.SELECT_CAPABILITY, *key_columns(key))
        return capability_from_row(row) if row else None

    async def get_ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        async with self._postgres.transaction(_row_tenant(tenant_id)) as connection:
            row = await connection.fetchrow(sql.SELECT_LADDER, tenant_id, key.modality.value, key.task_type)
        return ladder_from_row(row) if row else None

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_write_tenant(capability.tenant_id, request)) as connection:
                if not await self._write_capability(connection, capability, expected_version, subject):
                    return False
                await _save_request(connection, request, capability.capability_id)
            return True
        return False

    async def _write_capability(
        self, connection: asyncpg.Connection, capability: Capability, expected_version: int, subject: str
    ) -> bool:
        statement, columns = sql.INSERT_CAPABILITY, definition_columns(capability)
        if expected_version:
            statement, columns = sql.UPDATE_CAPABILITY, (*columns, expected_version)
        before = await self._lock_capability(connection, capability.key)
        if (before.version if before else 0) != expected_version:
            return False
        if capability.tenant_id and capability.deleted_at is None and (before is None or before.deleted_at):
            await self._require_capability_quota(connection, capability.tenant_id, has_record=before is not None)
        if await connection.fetchval(statement, *columns) is None:
            return False
        await self._outbox.add(connection, self._make_event(capability, subject))
        await self._auditor.record(
            connection,
            action="capability.write",
            resource_type="capability",
            resource_id=capability.capability_id,
            before=canonical_definition(before) if before and not before.deleted_at else None,
            after=None if capability.deleted_at else canonical_definition(capability),
            tenant_id=capability.tenant_id,
        )
        await self._notify(connection, capability.key)
        return True

    async def _require_capability_quota(
        self, connection: asyncpg.Connection, tenant_id: str, *, has_record: bool
    ) -> None:
        await connection.execute(sql.LOCK_TENANT, "registry.capabilities", tenant_id)
        count = await connection.fetchrow(sql.COUNT_CAPABILITIES, tenant_id)
        require_capability_quota(count["live"], count["records"], self._quotas.capabilities, has_record=has_record)

    async def update_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audit_action: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_write_tenant(key.tenant_id, request)) as connection:
                found = await self._lock_capability(connection, key)
                if found is None or found.deleted_at is not None:
                    return None
                await _save_request(connection, request, key.capability_id)
                health = change(found.health)
                await connection.execute(sql.UPDATE_HEALTH, *key_columns(key), *health_columns(health))
                await self._audit_health(connection, key, found.health, health, audit_action(found.health, health))
                await self._notify(connection, key)
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
    async def _lock_capability(connection: asyncpg.Connection, key: CapabilityKey) -> Capability | None:
        row = await connection.fetchrow(sql.SELECT_CAPABILITY_FOR_UPDATE, *key_columns(key))
        return capability_from_row(row) if row else None

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        with suppress(RepeatedRequestError):
            async with self._postgres.transaction(_write_tenant(ladder.tenant_id, request)) as connection:
                if not await self._write_ladder(connection, ladder, expected_version):
                    return False
                await _save_request(connection, request, ladder.key.name)
            return True
        return False

    async def _write_ladder(self, connection: asyncpg.Connection, ladder: Ladder, expected_version: int) -> bool:
        key = (ladder.tenant_id, ladder.key.modality.value, ladder.key.task_type)
        columns = (*key, list(ladder.capability_ids), ladder.version, ladder.updated_by, ladder.updated_at)
        before = await connection.fetchrow(sql.SELECT_LADDER_FOR_UPDATE, *key)
        if before is None and ladder.tenant_id:
            await connection.execute(sql.LOCK_TENANT, "registry.ladders", ladder.tenant_id)
            count = await connection.fetchval(sql.COUNT_LADDERS, ladder.tenant_id)
            require_ladder_quota(count, self._quotas.ladders)
        written = (
            await connection.fetchval(sql.UPDATE_LADDER, *columns, expected_version)
            if expected_version
            else await connection.fetchval(sql.INSERT_LADDER, *columns)
        )
        if written is None:
            return False
        await self._auditor.record(
            connection,
            action="ladder.write",
            resource_type="ladder",
            resource_id=ladder.key.name,
            before=canonical(ladder_from_row(before)) if before else None,
            after=canonical(ladder),
            tenant_id=ladder.tenant_id,
        )
        await self._notify(connection, OwnedLadderKey(ladder.tenant_id, ladder.key))
        return True

    async def find_result(self, request: Request) -> str | None:
        if not request.key.request_id:
            return None
        async with self._postgres.transaction(request.tenant_id) as connection:
            return await REQUESTS.written_before(connection, request.tenant_id, request.key)

    async def save_result(self, request: Request, written: str) -> None:
        if request.key.request_id:
            async with self._postgres.transaction(request.tenant_id) as connection:
                await REQUESTS.record(connection, request.tenant_id, request.key, written)

    @asynccontextmanager
    async def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Listens to the notifications of all processes."""

        def on_notification(payload: str) -> None:
            changed = decode_notification(payload)
            if changed is None:
                on_reset()
            else:
                on_change(changed)

        async with self._postgres.listen(CHANNEL, on_notification):
            yield

    @staticmethod
    async def _notify(connection: asyncpg.Connection, changed: ChangedKey) -> None:
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, encode_notification(changed))
