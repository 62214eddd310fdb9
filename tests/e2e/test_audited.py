"""What is changed and refused at the edge is told to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh.identity import Claims
from mesh.settings import PostgresSettings
from mesh.stores.postgres import Postgres
from mesh.testing.audit import entries
from mesh.testing.contract import eventually
from soma.events.v1.audit_pb2 import AUDIT_DECISION_ALLOWED, AUDIT_DECISION_DENIED, AuditDecision

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningMesh


async def test_a_change_and_a_refusal_at_the_edge_are_audited(mesh: RunningMesh) -> None:
    eve = await mesh.token(Claims("dev", "eve", roles=("viewer",)))
    budget = {"modality": "MODALITY_VIDEO", "limit_micro_usd": "10000000"}
    with mesh.client(eve) as api:
        refused = api.put("/v1/budgets", json=budget)
    with mesh.client() as api:
        changed = api.put("/v1/budgets", json=budget)
    assert (refused.status_code, changed.status_code) == (403, 200)
    dsn = SecretStr(mesh.variable("SA01_SELECTOR_POSTGRES_DSN"))
    async with Postgres.open(PostgresSettings(dsn=dsn, schema_name="selector")) as postgres:

        async def told(decision: AuditDecision.ValueType, kind: str, trace_id: str) -> bool:
            return any(
                (tenant, entry.action, entry.decision, entry.resource_type, entry.trace_id)
                == ("dev", "budget.write", decision, kind, trace_id)
                for tenant, entry in await entries(postgres)
            )

        await eventually(lambda: told(AUDIT_DECISION_ALLOWED, "budget", changed.headers["x-trace-id"]))
        await eventually(lambda: told(AUDIT_DECISION_DENIED, "rpc", refused.headers["x-trace-id"]))
