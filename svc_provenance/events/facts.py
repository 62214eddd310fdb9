"""Takes in the facts of the other contexts, redacted before anything is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.rpc.bounded import bound
from soma.events.v1 import facts_pb2
from svc_provenance.domain.model import AssetSummary, Fact, JobSummary, Kind
from svc_provenance.domain.record_redaction import RecordRedactor, SummaryRedactor
from svc_provenance.events import summaries
from svc_provenance.events.scrub import scrub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from mesh.events.event import Event
    from mesh.events.inbox import Handler
    from mesh.ids import Ids
    from svc_provenance.app.ports import Record
    from svc_provenance.domain.model import Summary, Transaction


async def _summary_only(_tenant_id: str) -> bool:
    return False


class TraceEventHandlers:
    """The handlers, by the type of their event.

    `full_prompt` tells whether policy lets a tenant's prompts be kept whole; without it nobody's are. `on_redacted`
    hears what was taken out of each fact, counted by kind.
    """

    def __init__(
        self,
        record: Record,
        ids: Ids,
        *,
        full_prompt: Callable[[str], Awaitable[bool]] = _summary_only,
        on_redacted: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        self._record = record
        self._ids = ids
        self._full_prompt = full_prompt
        self._on_redacted = on_redacted

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for the consumer."""
        return {
            facts_pb2.SelectionMade.DESCRIPTOR.full_name: self.selection_made,
            facts_pb2.ExecutionFinished.DESCRIPTOR.full_name: self.execution_finished,
            facts_pb2.EvaluationDone.DESCRIPTOR.full_name: self.evaluation_done,
            facts_pb2.AssetStored.DESCRIPTOR.full_name: self.asset_stored,
            facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned,
            facts_pb2.JobChanged.DESCRIPTOR.full_name: self.job_changed,
        }

    async def selection_made(self, unit: Transaction, event: Event) -> None:
        """Keeps a choice of a job."""
        selection = facts_pb2.SelectionMade.FromString(event.payload).selection
        job_id = selection.subject_context.job_id
        if job_id:  # an event of an earlier version may tell of a choice outside of any job
            self._scrub(selection, SummaryRedactor())
            ids = (selection.selection_id, job_id)
            await self._keep(unit, event, Kind.SELECTION, ids, summaries.choice(selection), selection)

    async def execution_finished(self, unit: Transaction, event: Event) -> None:
        """Keeps an attempt, and tells each of its assets how it was made."""
        fact = facts_pb2.ExecutionFinished.FromString(event.payload)
        full = await self._full_prompt(event.tenant_id)
        redactor = RecordRedactor() if full else SummaryRedactor()
        await bound(fact.execution.params)
        redactor.counts.update(fact.redactions)  # what the sender took out already
        self._scrub(fact, redactor)
        creation = summaries.creation(fact, redactor, full_prompt=full)
        execution = fact.execution
        ids = (execution.execution_id, execution.job_id)
        with tracing.span("provenance_record", {"soma.job_id": execution.job_id, "soma.step_id": execution.step_id}):
            attempt = summaries.attempt(execution)
            await self._keep(unit, event, Kind.EXECUTION, ids, attempt, execution, fact.sequence)
            if execution.asset_ids:
                await self._record.add_creation(unit, event.tenant_id, execution.asset_ids, creation)

    async def evaluation_done(self, unit: Transaction, event: Event) -> None:
        """Keeps a verdict."""
        evaluation = facts_pb2.EvaluationDone.FromString(event.payload).evaluation
        self._scrub(evaluation, SummaryRedactor())
        verdict = summaries.verdict(evaluation)
        await self._record.add_verdict(unit, event.tenant_id, evaluation.asset_id, verdict)
        if evaluation.job_id:
            ids = (evaluation.evaluation_id, evaluation.job_id)
            await self._keep(unit, event, Kind.EVALUATION, ids, verdict, evaluation)

    async def asset_stored(self, unit: Transaction, event: Event) -> None:
        """Keeps what an asset is."""
        asset = facts_pb2.AssetStored.FromString(event.payload).asset
        self._scrub(asset, SummaryRedactor())
        await self._record.add_asset(unit, event.tenant_id, summaries.asset_facts(asset, event.occurred_at))
        if asset.origin.job_id:
            stored = AssetSummary(asset.asset_id, asset.origin.execution_id)
            await self._keep(unit, event, Kind.ASSET, (asset.asset_id, asset.origin.job_id), stored, asset)

    async def asset_tombstoned(self, unit: Transaction, event: Event) -> None:
        """Forgets what an erased asset was made with."""
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        await self._record.erase(unit, event.tenant_id, asset.asset_id, event.occurred_at)

    async def job_changed(self, unit: Transaction, event: Event) -> None:
        """Keeps the newest state of a job."""
        fact = facts_pb2.JobChanged.FromString(event.payload)
        self._scrub(fact.job, SummaryRedactor())
        ids = (fact.job.job_id, fact.job.job_id)
        await self._keep(unit, event, Kind.JOB, ids, summaries.run(fact.job), fact.job, fact.sequence)

    def _scrub(self, message: Message, redactor: RecordRedactor) -> None:
        scrub(message, redactor)
        self._on_redacted(redactor.counts)

    async def _keep(  # noqa: PLR0917 - a fact and where it belongs
        self,
        unit: Transaction,
        event: Event,
        kind: Kind,
        ids: tuple[str, str],
        summary: Summary,
        document: Message,
        sequence: int = 0,
    ) -> None:
        fact_id, job_id = ids
        fact = Fact(kind, fact_id, job_id, event.occurred_at, summary, document.SerializeToString(), sequence)
        await self._record.add_fact(unit, event.tenant_id, fact, replaces=_is_newest(event, summary))


def _is_newest(event: Event, summary: Summary) -> bool:
    """Whether an event without a number tells the newest: events of a key arrive in order, unless a dead letter brings
    one back. A job's end is believed even then, since nothing follows it but a run that tells of itself again.
    """
    return not event.dlq_id or (isinstance(summary, JobSummary) and summary.ended)
