"""A critic on Postgres that judges texts, and the event that an asset is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.events.topics import facts_of
from mesh.fairness import FairSlots
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2
from svc_critic.adapters.postgres import PostgresEvaluationStore
from svc_critic.adapters.postgres.erasure import PostgresErasureMarks, PostgresPendingErasures
from svc_critic.app import EraseQuotes, Evaluate, EvaluationRequest, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind, EvaluatedAsset, EvaluationContext
from svc_critic.domain.prose import measure_prose
from svc_critic.events.consumed import AssetEventHandlers
from svc_critic.events.published import evaluation_done
from tests.in_memory.critic import MemoryRubricStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.stores.postgres import Postgres
    from svc_critic.domain.evaluation import Evaluation

SECRET = "Jane Doe, 123-45-6789"
LETTER = f"Please send the pension to {SECRET}"
TENANT = "acme"
CLOCK, IDS = SystemClock(), SystemIds()
HANDLERS = AssetEventHandlers(CLOCK, PostgresErasureMarks).handlers()
_TABLES = """
SELECT format('%I', c.relname) AS name FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> ALL($1::text[])
"""


class Letters:
    """An asset store in which every asset is the letter; it writes ids in lower case."""

    async def read(self, asset_id: str) -> EvaluatedAsset:
        return EvaluatedAsset(asset_id.lower(), "text", "text/plain", LETTER.encode())


@dataclass
class Prose:
    """Measures a text, with its end as evidence; `before_end` runs when it is measured."""

    before_end: Callable[[], Awaitable[None]] | None = None
    name: str = "heuristics/text"
    kinds: frozenset[AssetKind] = field(default_factory=lambda: frozenset({AssetKind.TEXT}))

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        found = EvaluatorResult(measure_prose(asset.content.decode(), context))
        if self.before_end is not None:
            await self.before_end()
        return found


class ErasedCount:
    """Notes what is left to be erased."""

    def __init__(self) -> None:
        self.number = 0

    def set_unfinished_erasures(self, number: int) -> None:
        self.number = number


class QuotingCritic:
    """The use cases of a critic whose verdicts quote the letter."""

    def __init__(self, postgres: Postgres, outbox: Outbox | None = None) -> None:
        self.postgres = postgres
        self.prose = Prose()
        self.metrics = ErasedCount()
        self.evaluations = PostgresEvaluationStore(postgres, outbox or Outbox(), evaluation_done)
        self.evaluate = Evaluate(
            assets=Letters(),
            rubrics=RubricUseCases(MemoryRubricStore(), CLOCK, IDS),
            evaluators=Evaluators([self.prose]),
            evaluations=self.evaluations,
            metrics=self,
            slots=EvaluationSlots(FairSlots("the critic", 2, per_tenant=2), 2),
            clock=CLOCK,
            ids=IDS,
        )

    def record_evaluation(self, evaluation: Evaluation, kind: AssetKind) -> None:
        """Nothing."""

    async def evaluate_asset(self, asset_id: str, request_id: str = "", tenant_id: str = TENANT) -> Evaluation:
        return await self.evaluate(tenant_id, EvaluationRequest(asset_id, key=RequestKey.for_request(request_id)))

    async def apply(self, event: Event) -> None:
        """Mark the asset of an event."""
        async with self.postgres.transaction(event.tenant_id) as connection:
            await HANDLERS[event.type](connection, event)

    async def erase(self, at_once: int = 100) -> None:
        """Do what is due."""
        await EraseQuotes(PostgresPendingErasures(self.postgres), self.metrics, CLOCK, batch_size=at_once)()

    async def stored(self, *left_out: str) -> str:
        """All columns of all tables, those left out aside; bytes in hexadecimal digits."""
        async with self.postgres.transaction(SYSTEM) as connection:
            tables = [row["name"] for row in await connection.fetch(_TABLES, list(left_out))]
            assert "evaluations" in tables
            rows = [
                row["content"]
                for table in tables
                for row in await connection.fetch(f"SELECT to_jsonb(t)::text AS content FROM {table} AS t")
            ]
        return "\n".join(rows)


def tombstone(asset_id: str, tenant_id: str = TENANT) -> Event:
    """The event that an asset is gone."""
    payload = facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=asset_id), reason="asked for")
    kind = payload.DESCRIPTOR.full_name
    return Event(IDS.new(), kind, facts_of("assets"), asset_id, tenant_id, CLOCK.now(), payload.SerializeToString())
