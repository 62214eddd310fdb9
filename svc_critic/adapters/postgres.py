"""Rubrics and evaluations in Postgres."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import not_found
from mesh.events.audit import canonical
from mesh.stores.idempotency import RepeatedRequestError, RequestTable
from svc_critic.adapters.erasure import is_erased
from svc_critic.domain.erasure import ErasedAsset
from svc_critic.domain.evaluation import Evaluation
from svc_critic.domain.rubric import Rubric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres
    from svc_critic.domain.evaluation import Listing

REQUESTS = RequestTable("rubric_requests", "rubric_id")
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)
_RUBRIC: TypeAdapter[Rubric] = TypeAdapter(Rubric)
_EVALUATION: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)


class Fact(Protocol):
    """Makes the event of an evaluation."""

    def __call__(self, evaluation: Evaluation) -> Event: ...


class PostgresRubrics:
    """The tenants' rubrics."""

    def __init__(self, postgres: Postgres, auditor: Auditor) -> None:
        self._postgres = postgres
        self._auditor = auditor

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """One of the tenant's."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await _rubric(connection, tenant_id, rubric_id)

    async def default(self, tenant_id: str, asset_type: str) -> Rubric | None:
        """The tenant's default for this asset type, else its default for any."""
        async with self._postgres.transaction(tenant_id) as connection:
            document = await connection.fetchval(_DEFAULT, tenant_id, asset_type)
        return _RUBRIC.validate_python(document) if document else None

    async def list(self, tenant_id: str, asset_type: str, after: str, size: int) -> Sequence[Rubric]:
        """The tenant's with ids above `after`."""
        statement, values = _filtered(_LIST_RUBRICS, {"asset_type": asset_type})
        first = UUID(after) if after else _FIRST
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, tenant_id, first, size, *values)
        return [_RUBRIC.validate_python(row["document"]) for row in rows]

    async def save(self, tenant_id: str, rubric: Rubric, expected_version: int, key: RequestKey) -> Rubric | None:
        """Writes the rubric when the stored version is the expected one."""
        # Another call with the same request id, or for the same default, may come first.
        with suppress(RepeatedRequestError, asyncpg.UniqueViolationError):
            async with self._postgres.transaction(tenant_id) as connection:
                earlier = await REQUESTS.written_before(connection, tenant_id, key)
                if earlier:
                    return await _written(connection, tenant_id, earlier)
                saved = await self._save(connection, tenant_id, rubric, expected_version)
                if saved:
                    await REQUESTS.record_new(connection, tenant_id, key, rubric.rubric_id)
                return saved
        async with self._postgres.transaction(tenant_id) as connection:
            earlier = await REQUESTS.written_before(connection, tenant_id, key)
            return await _written(connection, tenant_id, earlier) if earlier else None

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Removes a rubric and gives what it was."""
        async with self._postgres.transaction(tenant_id) as connection:
            key = _key(rubric_id)
            document = await connection.fetchval(_DELETE_RUBRIC, tenant_id, key) if key else None
            if document:
                await self._audit(connection, tenant_id, rubric_id, document, None)
        return _RUBRIC.validate_python(document) if document else None

    async def _save(
        self, connection: asyncpg.Connection, tenant_id: str, rubric: Rubric, expected_version: int
    ) -> Rubric | None:
        before = await connection.fetchrow(_LOCK, tenant_id, rubric.rubric_id)
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
        """Take the role of default from the rubric that has it."""
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


def _filtered(statement: str, filters: Mapping[str, str]) -> tuple[str, list[str]]:
    """A statement with the filters that are given, and their values from $4 on.

    Each set of filters is a statement of its own, so that each is planned by the index of its columns.
    """
    given = {column: value for column, value in filters.items() if value}
    text = "".join(f" AND {column} = ${place}" for place, column in enumerate(given, 4))
    return statement.format(filters=text), list(given.values())


def _key(text: str) -> UUID | None:
    """An id as the tables hold it; None for a text that is none, and so names nothing."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def _rubric(connection: asyncpg.Connection, tenant_id: str, rubric_id: str) -> Rubric | None:
    document = await connection.fetchval(_GET_RUBRIC, tenant_id, key) if (key := _key(rubric_id)) else None
    return _RUBRIC.validate_python(document) if document else None


async def _written(connection: asyncpg.Connection, tenant_id: str, rubric_id: str) -> Rubric:
    """The rubric that a request wrote; NOT_FOUND when it was deleted since."""
    found = await _rubric(connection, tenant_id, rubric_id)
    if found is None:
        raise not_found("rubric", rubric_id)
    return found


class PostgresEvaluations:
    """Evaluations, each with its event in the same transaction."""

    def __init__(self, postgres: Postgres, outbox: Outbox, fact: Fact) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._fact = fact

    async def by_request(self, tenant_id: str, key: RequestKey) -> Evaluation | None:
        """What this request id recorded."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_BY_REQUEST, tenant_id, key.request_id)
        if row is None:
            return None
        key.require_same(row["digest"])
        return _EVALUATION.validate_python(row["document"])

    async def record(self, evaluation: Evaluation, key: RequestKey) -> Evaluation:
        """Keeps the evaluation, without quotes if its asset is gone; the first one when the request id was used."""
        try:
            async with self._postgres.transaction(evaluation.tenant_id) as connection:
                if await is_erased(connection, ErasedAsset(evaluation.tenant_id, evaluation.asset_id)):
                    evaluation = evaluation.without_quotes()
                await connection.execute(
                    _RECORD,
                    evaluation.evaluation_id,
                    evaluation.tenant_id,
                    evaluation.asset_id,
                    evaluation.origin.job_id,
                    key.request_id or None,
                    key.digest,
                    evaluation.passes,
                    evaluation.score,
                    _EVALUATION.dump_python(evaluation, mode="json"),
                    evaluation.created_at,
                )
                await self._outbox.add(connection, self._fact(evaluation))
        except asyncpg.UniqueViolationError:
            first = await self.by_request(evaluation.tenant_id, key)
            if first is None:
                raise
            return first
        return evaluation

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation | None:
        """One of the tenant's."""
        async with self._postgres.transaction(tenant_id) as connection:
            key = _key(evaluation_id)
            document = await connection.fetchval(_GET_EVALUATION, tenant_id, key) if key else None
        return _EVALUATION.validate_python(document) if document else None

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Evaluation]:
        """Evaluations, newest first."""
        statement, values = _filtered(_LIST_EVALUATIONS, {"asset_id": wanted.asset_id, "job_id": wanted.job_id})
        before = UUID(wanted.before) if wanted.before else _LAST
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, tenant_id, before, wanted.size, *values)
        return [_EVALUATION.validate_python(row["document"]) for row in rows]


_GET_RUBRIC = "SELECT document FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2"
_DEFAULT = """
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
_LOCK = "SELECT version, document FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2 FOR UPDATE"
_SAVE_RUBRIC = """
INSERT INTO rubrics (tenant_id, rubric_id, asset_type, is_default, version, document)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, rubric_id) DO UPDATE
SET asset_type = excluded.asset_type, is_default = excluded.is_default, version = excluded.version,
    document = excluded.document
"""
_DELETE_RUBRIC = "DELETE FROM rubrics WHERE tenant_id = $1 AND rubric_id = $2 RETURNING document"
_BY_REQUEST = "SELECT digest, document FROM evaluations WHERE tenant_id = $1 AND request_id = $2"
_RECORD = """
INSERT INTO evaluations
    (evaluation_id, tenant_id, asset_id, job_id, request_id, digest, passes, score, document, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_GET_EVALUATION = "SELECT document FROM evaluations WHERE tenant_id = $1 AND evaluation_id = $2"
_LIST_EVALUATIONS = """
SELECT document FROM evaluations
WHERE tenant_id = $1 AND evaluation_id < $2{filters}
ORDER BY evaluation_id DESC LIMIT $3
"""
