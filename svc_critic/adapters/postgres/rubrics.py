"""Rubrics of tenants in Postgres."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import not_found
from mesh.events.audit import canonical
from mesh.stores.idempotency import RepeatedRequestError, RequestTable
from svc_critic.adapters.postgres.statements import parse_uuid, with_filters
from svc_critic.domain.rubric import Rubric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.events.audit import Auditor
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres

REQUESTS = RequestTable("rubric_requests", "rubric_id")
_MIN_ID = UUID(int=0)
_RUBRIC: TypeAdapter[Rubric] = TypeAdapter(Rubric)
_GET_RUBRIC = "SELECT document FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2"
_GET_DEFAULT = """
SELECT document FROM rubrics WHERE tenant_id = $1 AND asset_type IN ($2, '') AND is_default
ORDER BY asset_type DESC LIMIT 1
"""
_LIST_RUBRICS = """
SELECT document FROM rubrics WHERE tenant_id = $1 AND rubric_id > $2{filters} ORDER BY rubric_id LIMIT $3
"""
_UNSET_DEFAULT = """
UPDATE rubrics SET is_default = false, document = jsonb_set(document, '{is_default}', 'false')
WHERE tenant_id = $1 AND asset_type = $2 AND is_default AND rubric_id <> $3
RETURNING rubric_id, document
"""
_SELECT_FOR_UPDATE = "SELECT version, document FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2 FOR UPDATE"
_SAVE_RUBRIC = """
INSERT INTO rubrics (tenant_id, rubric_id, asset_type, is_default, version, document)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, rubric_id) DO UPDATE
SET asset_type = excluded.asset_type, is_default = excluded.is_default, version = excluded.version,
    document = excluded.document
"""
_DELETE_RUBRIC = "DELETE FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2 RETURNING document"


class PostgresRubricStore:
    """`RubricStore` in Postgres."""

    def __init__(self, postgres: Postgres, auditor: Auditor) -> None:
        self._postgres = postgres
        self._auditor = auditor

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Returns a rubric of the tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await _get_rubric(connection, tenant_id, rubric_id)

    async def get_default(self, tenant_id: str, asset_type: str) -> Rubric | None:
        """Returns the tenant's default for this asset type, else its default for any."""
        async with self._postgres.transaction(tenant_id) as connection:
            document = await connection.fetchval(_GET_DEFAULT, tenant_id, asset_type)
        return _RUBRIC.validate_python(document) if document else None

    async def list(self, tenant_id: str, asset_type: str, after: str, limit: int) -> Sequence[Rubric]:
        """Returns the tenant's rubrics with ids above `after`."""
        statement, values = with_filters(_LIST_RUBRICS, {"asset_type": asset_type})
        min_id = UUID(after) if after else _MIN_ID
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, tenant_id, min_id, limit, *values)
        return [_RUBRIC.validate_python(row["document"]) for row in rows]

    async def save(self, tenant_id: str, rubric: Rubric, expected_version: int, key: RequestKey) -> Rubric | None:
        """Saves the rubric if the stored version is the expected one."""
        # A concurrent call with the same request id, or for the same default, may have written first.
        with suppress(RepeatedRequestError, asyncpg.UniqueViolationError):
            async with self._postgres.transaction(tenant_id) as connection:
                earlier = await REQUESTS.written_before(connection, tenant_id, key)
                if earlier:
                    return await _get_written(connection, tenant_id, earlier)
                saved = await self._save(connection, tenant_id, rubric, expected_version)
                if saved:
                    await REQUESTS.record_new(connection, tenant_id, key, rubric.rubric_id)
                return saved
        async with self._postgres.transaction(tenant_id) as connection:
            earlier = await REQUESTS.written_before(connection, tenant_id, key)
            return await _get_written(connection, tenant_id, earlier) if earlier else None

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Deletes a rubric; returns what it was."""
        async with self._postgres.transaction(tenant_id) as connection:
            uuid = parse_uuid(rubric_id)
            document = await connection.fetchval(_DELETE_RUBRIC, tenant_id, uuid) if uuid else None
            if document:
                await self._audit(connection, tenant_id, rubric_id, document, None)
        return _RUBRIC.validate_python(document) if document else None

    async def _save(
        self, connection: asyncpg.Connection, tenant_id: str, rubric: Rubric, expected_version: int
    ) -> Rubric | None:
        before = await connection.fetchrow(_SELECT_FOR_UPDATE, tenant_id, rubric.rubric_id)
        if (before["version"] if before else 0) != expected_version:
            return None
        if rubric.is_default:
            await self._unset_default(connection, tenant_id, rubric)
        after = _RUBRIC.dump_python(rubric, mode="json")
        await connection.execute(
            _SAVE_RUBRIC, tenant_id, rubric.rubric_id, rubric.asset_type, rubric.is_default, rubric.version, after
        )
        await self._audit(connection, tenant_id, rubric.rubric_id, before["document"] if before else None, after)
        return rubric

    async def _unset_default(self, connection: asyncpg.Connection, tenant_id: str, rubric: Rubric) -> None:
        """Makes the current default of an asset type no default any more."""
        for row in await connection.fetch(_UNSET_DEFAULT, tenant_id, rubric.asset_type, rubric.rubric_id):
            before = {**row["document"], "is_default": True}
            await self._audit(connection, tenant_id, str(row["rubric_id"]), before, row["document"])

    async def _audit(
        self, connection: asyncpg.Connection, tenant_id: str, rubric_id: str, before: object, after: object
    ) -> None:
        await self._auditor.record(
            connection,
            action="rubric.write",
            resource_type="rubric",
            resource_id=rubric_id,
            before=canonical(before) if before else None,
            after=canonical(after) if after else None,
            tenant_id=tenant_id,
        )


async def _get_rubric(connection: asyncpg.Connection, tenant_id: str, rubric_id: str) -> Rubric | None:
    document = await connection.fetchval(_GET_RUBRIC, tenant_id, uuid) if (uuid := parse_uuid(rubric_id)) else None
    return _RUBRIC.validate_python(document) if document else None


async def _get_written(connection: asyncpg.Connection, tenant_id: str, rubric_id: str) -> Rubric:
    """Returns the rubric that a request wrote; NOT_FOUND when it was deleted since then."""
    rubric = await _get_rubric(connection, tenant_id, rubric_id)
    if rubric is None:
        raise not_found("rubric", rubric_id)
    return rubric
