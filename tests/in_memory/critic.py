"""The ports of the critic in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.idempotency import RequestKey
    from svc_critic.domain.evaluation import Evaluation, ListQuery
    from svc_critic.domain.rubric import Rubric


class MemoryRubricStore:
    """`RubricStore` in memory."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], Rubric] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        return self._stored.get((tenant_id, rubric_id))

    async def get_default(self, tenant_id: str, asset_type: str) -> Rubric | None:
        found = {r.asset_type: r for (owner, _), r in self._stored.items() if owner == tenant_id and r.is_default}
        return found.get(asset_type) or found.get("")

    async def list(self, tenant_id: str, asset_type: str, after: str, limit: int) -> Sequence[Rubric]:
        found = [
            rubric
            for (owner, rubric_id), rubric in sorted(self._stored.items())
            if owner == tenant_id and rubric_id > after and asset_type in ("", rubric.asset_type)
        ]
        return found[:limit]

    async def save(self, tenant_id: str, rubric: Rubric, expected_version: int, key: RequestKey) -> Rubric | None:
        earlier = self._requests.get((tenant_id, key.request_id)) if key.request_id else None
        if earlier is not None:
            key.require_same(earlier[0])
            if (tenant_id, earlier[1]) not in self._stored:
                raise not_found("rubric", earlier[1])
            return self._stored[(tenant_id, earlier[1])]
        before = self._stored.get((tenant_id, rubric.rubric_id))
        if (before.version if before else 0) != expected_version:
            return None
        if rubric.is_default:
            self._unset_default(tenant_id, rubric.asset_type)
        self._stored[(tenant_id, rubric.rubric_id)] = rubric
        if key.request_id:
            self._requests[(tenant_id, key.request_id)] = (key.digest, rubric.rubric_id)
        return rubric

    def _unset_default(self, tenant_id: str, asset_type: str) -> None:
        for key, rubric in self._stored.items():
            if key[0] == tenant_id and rubric.asset_type == asset_type and rubric.is_default:
                self._stored[key] = replace(rubric, is_default=False)

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        return self._stored.pop((tenant_id, rubric_id), None)


class MemoryEvaluationStore:
    """`EvaluationStore` without events."""

    def __init__(self) -> None:
        self._stored: dict[str, Evaluation] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}

    async def get_by_request(self, tenant_id: str, key: RequestKey) -> Evaluation | None:
        found = self._requests.get((tenant_id, key.request_id))
        if found is None:
            return None
        key.require_same(found[0])
        return self._stored[found[1]]

    async def record(self, evaluation: Evaluation, key: RequestKey) -> Evaluation:
        if key.request_id:
            first = await self.get_by_request(evaluation.tenant_id, key)
            if first is not None:
                return first
            self._requests[(evaluation.tenant_id, key.request_id)] = (key.digest, evaluation.evaluation_id)
        self._stored[evaluation.evaluation_id] = evaluation
        return evaluation

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation | None:
        found = self._stored.get(evaluation_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Evaluation]:
        found = [
            stored
            for stored in self._stored.values()
            if stored.tenant_id == tenant_id
            and query.asset_id in ("", stored.asset_id)
            and query.job_id in ("", stored.origin.job_id)
            and (not query.before_id or stored.evaluation_id < query.before_id)
        ]
        return sorted(found, key=lambda stored: stored.evaluation_id, reverse=True)[: query.limit]
