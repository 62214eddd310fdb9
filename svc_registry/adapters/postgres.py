"""Capabilities and ladders in Postgres, with their events in the same transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import Reason, SomaError
from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from svc_registry.domain import Capability, Health, Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_registry.domain import JsonObject

CHANNEL = "registry_changed"
_CAPABILITY: TypeAdapter[Capability] = TypeAdapter(Capability)
_HEALTH: TypeAdapter[Health] = TypeAdapter(Health)
_COLUMNS = "document, health, version, created_at, updated_at"


class Fact(Protocol):
    """Makes the event that tells others of a capability."""

    def __call__(self, capability: Capability, subject: str) -> Event: ...


class PostgresStore:
    """The store of a cluster; changes are announced with NOTIFY, which Postgres sends after the commit."""

    def __init__(self, postgres: Postgres, outbox: Outbox, auditor: Auditor, fact: Fact) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._fact = fact

    async def capabilities(self) -> Sequence[Capability]:
        """All of them, ordered by id."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(f"SELECT {_COLUMNS} FROM multimodal_capabilities ORDER BY capability_id")  # noqa: S608
        return [_capability(row) for row in rows]

    async def ladders(self) -> Sequence[Ladder]:
        """All of them."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch("SELECT * FROM ladders ORDER BY tenant_id, modality, task_type")
        return [_ladder(row) for row in rows]

    async def capability(self, capability_id: str) -> Capability | None:
        """One, as it is now."""
        async with self._postgres.transaction(SYSTEM) as connection:
            query = f"SELECT {_COLUMNS} FROM multimodal_capabilities WHERE capability_id = $1"  # noqa: S608
            row = await connection.fetchrow(query, capability_id)
        return _capability(row) if row else None

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_LADDER_OF, tenant_id, key.modality.value, key.task_type)
        return _ladder(row) if row else None

    async def save_capability(self, capability: Capability, expected_version: int, subject: str) -> bool:
        """Writes the capability and its event when the stored version is the expected one."""
        write = _INSERT if expected_version == 0 else _UPDATE
        async with self._postgres.transaction(SYSTEM) as connection:
            before = await self._locked(connection, capability.capability_id)
            try:
                done = await connection.fetchval(
                    write,
                    capability.capability_id,
                    capability.tool_id,
                    capability.provider,
                    capability.version,
                    _document(capability),
                    _HEALTH.dump_python(capability.health, mode="json"),
                    capability.created_at,
                    capability.updated_at,
                    *([expected_version] if expected_version else []),
                )
            except asyncpg.UniqueViolationError:
                return False
            if done is None:
                return False
            await self._outbox.add(connection, self._fact(capability, subject))
            await self._auditor.record(
                connection,
                action="capability.write",
                resource_type="capability",
                resource_id=capability.capability_id,
                before=_offer(before) if before else None,
                after=_offer(capability),
                tenant_id=_owner(capability),
            )
            await self._announce(connection, "capability", capability.capability_id)
        return True

    async def save_health(self, capability_id: str, health: Health, action: str) -> bool:
        """Writes health alone."""
        async with self._postgres.transaction(SYSTEM) as connection:
            before = await self._locked(connection, capability_id)
            if before is None:
                return False
            await connection.execute(_SAVE_HEALTH, capability_id, _HEALTH.dump_python(health, mode="json"))
            if action:
                await self._auditor.record(
                    connection,
                    action=action,
                    resource_type="capability_health",
                    resource_id=capability_id,
                    before=canonical(before.health),
                    after=canonical(health),
                    tenant_id=_owner(before),
                    reason=health.reason,
                )
            await self._announce(connection, "capability", capability_id)
        return True

    @staticmethod
    async def _locked(connection: asyncpg.Connection, capability_id: str) -> Capability | None:
        query = f"SELECT {_COLUMNS} FROM multimodal_capabilities WHERE capability_id = $1 FOR UPDATE"  # noqa: S608
        row = await connection.fetchrow(query, capability_id)
        return _capability(row) if row else None

    async def save_ladder(self, ladder: Ladder, expected_version: int) -> bool:
        """Writes the ladder when the stored version is the expected one."""
        key = (ladder.tenant_id, ladder.key.modality.value, ladder.key.task_type)
        async with self._postgres.transaction(SYSTEM) as connection:
            before = await connection.fetchrow(f"{_LADDER_OF} FOR UPDATE", *key)
            done = await connection.fetchval(
                _SAVE_LADDER,
                *key,
                list(ladder.capability_ids),
                ladder.version,
                ladder.updated_by,
                ladder.updated_at,
                expected_version,
            )
            if done:
                await self._auditor.record(
                    connection,
                    action="ladder.write",
                    resource_type="ladder",
                    resource_id="/".join(key[1:]),
                    before=canonical(_ladder(before)) if before else None,
                    after=canonical(ladder),
                    tenant_id=ladder.tenant_id,
                )
                await self._announce(connection, "ladder", "/".join(key))
        return done is not None

    async def replayed(self, tenant_id: str, request_id: str, digest: str) -> str | None:
        """What the request id wrote before."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(
                "SELECT digest, capability_id FROM registrations WHERE tenant_id = $1 AND request_id = $2",
                tenant_id,
                request_id,
            )
        if row is None:
            return None
        if row["digest"] != digest:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
        return str(row["capability_id"])

    async def remember(self, tenant_id: str, request_id: str, digest: str, capability_id: str) -> None:
        """Keeps what a request id wrote."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(
                "INSERT INTO registrations (tenant_id, request_id, digest, capability_id) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT DO NOTHING",
                tenant_id,
                request_id,
                digest,
                capability_id,
            )

    @asynccontextmanager
    async def listen(self, on_change: Callable[[str, str], None], on_reset: Callable[[], None]) -> AsyncIterator[None]:
        """Follows the announcements of every process."""

        def heard(payload: str) -> None:
            kind, _, id_ = payload.partition(" ")
            if kind:
                on_change(kind, id_)
            else:
                on_reset()

        async with self._postgres.listen(CHANNEL, heard):
            yield

    @staticmethod
    async def _announce(connection: asyncpg.Connection, kind: str, id_: str) -> None:
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{kind} {id_}")


_INSERT = """
INSERT INTO multimodal_capabilities
    (capability_id, tool_id, provider, version, document, health, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING 1
"""
_UPDATE = """
UPDATE multimodal_capabilities
SET tool_id = $2, provider = $3, version = $4, document = $5, health = $6, created_at = $7, updated_at = $8
WHERE capability_id = $1 AND version = $9
RETURNING 1
"""
_SAVE_HEALTH = "UPDATE multimodal_capabilities SET health = $2 WHERE capability_id = $1"
_LADDER_OF = "SELECT * FROM ladders WHERE tenant_id = $1 AND modality = $2 AND task_type = $3"
_SAVE_LADDER = """
INSERT INTO ladders (tenant_id, modality, task_type, capability_ids, version, updated_by, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, modality, task_type) DO UPDATE
SET capability_ids = excluded.capability_ids, version = excluded.version, updated_by = excluded.updated_by,
    updated_at = excluded.updated_at
WHERE ladders.version = $8 AND $8 > 0
RETURNING 1
"""


def _document(capability: Capability) -> JsonObject:
    return _CAPABILITY.dump_python(  # type: ignore[no-any-return]
        capability, mode="json", exclude={"health", "version", "created_at", "updated_at"}
    )


def _offer(capability: Capability) -> bytes:
    """What its owner says of it, health aside."""
    return canonical({**_document(capability), "version": capability.version})


def _owner(capability: Capability) -> str:
    """The one tenant it was registered for; the platform's otherwise."""
    tenants = capability.allow.tenants
    return tenants[0] if len(tenants) == 1 else ""


def _capability(row: Mapping[str, object]) -> Capability:
    document = dict(row["document"])  # type: ignore[call-overload]
    stored = {key: row[key] for key in ("health", "version", "created_at", "updated_at")}
    return _CAPABILITY.validate_python({**document, **stored})


def _ladder(row: Mapping[str, object]) -> Ladder:
    return _LADDER.validate_python(
        {
            "key": {"modality": Modality(str(row["modality"])), "task_type": row["task_type"]},
            **{name: row[name] for name in ("capability_ids", "tenant_id", "version", "updated_by", "updated_at")},
        }
    )


_LADDER: TypeAdapter[Ladder] = TypeAdapter(Ladder)
