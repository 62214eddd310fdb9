"""Evaluations in Postgres, each written with its event in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from svc_critic.adapters.postgres.erasure import is_erased
from svc_critic.adapters.postgres.statements import parse_uuid, with_filters
from svc_critic.domain.erasure import ErasedAsset
from svc_critic.domain.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres
    from svc_critic.domain.evaluation import ListQuery

_MAX_ID = UUID(int=2**128 - 1)
_EVALUATION: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)
_BY_REQUEST = "SELECT digest, document FROM evaluations WHERE tenant_id = $1 AND request_id = $2"
_INSERT = """
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


class EventFactory(Protocol):
    """Makes the event of an evaluation."""

    def __call__(self, evaluation: Evaluation) -> Event: ...


class PostgresEvaluationStore:
    """`EvaluationStore` in Postgres."""

    def __init__(self, postgres: Postgres, outbox: Outbox, make_event: EventFactory) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._make_event = make_event

    async def get_by_request(self, tenant_id: str, key: RequestKey) -> Evaluation | None:
        """Returns the evaluation of a request id."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_BY_REQUEST, tenant_id, key.request_id)
        if row is None:
            return None
        key.require_same(row["digest"])
        return _EVALUATION.validate_python(row["document"])

    async def record(self, evaluation: Evaluation, key: RequestKey) -> Evaluation:
        """Inserts the evaluation, without quotes if its asset was erased; returns the first one of its request id."""
        try:
            async with self._postgres.transaction(evaluation.tenant_id) as connection:
                if await is_erased(connection, ErasedAsset(evaluation.tenant_id, evaluation.asset_id)):
                    evaluation = evaluation.without_quotes()
                await connection.execute(
                    _INSERT,
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
                await self._outbox.add(connection, self._make_event(evaluation))
        except asyncpg.UniqueViolationError:
            first = await self.get_by_request(evaluation.tenant_id, key)
            if first is None:
                raise
            return first
        return evaluation

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation | None:
        """Returns an evaluation of the tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            uuid = parse_uuid(evaluation_id)
            document = await connection.fetchval(_GET_EVALUATION, tenant_id, uuid) if uuid else None
        return _EVALUATION.validate_python(document) if document else None

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Evaluation]:
        """Returns evaluations, newest first."""
        statement, values = with_filters(_LIST_EVALUATIONS, {"asset_id": query.asset_id, "job_id": query.job_id})
        before_id = UUID(query.before_id) if query.before_id else _MAX_ID
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, tenant_id, before_id, query.limit, *values)
        return [_EVALUATION.validate_python(row["document"]) for row in rows]
