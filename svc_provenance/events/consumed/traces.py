"""Takes in the facts of the other contexts, redacted before anything is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.rpc.bounded import bound
from soma.events.v1 import facts_pb2
from soma.executor.v1.job_pb2 import Job
from svc_provenance.domain.model import Fact, JobSummary, Kind
from svc_provenance.domain.record_redaction import RecordRedactor, SummaryRedactor
from svc_provenance.events.consumed.scrub import scrub
from svc_provenance.rpc.convert import summaries
from svc_provenance.rpc.convert.summaries import summary_from_proto

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from google.protobuf.message import Message

    from mesh.events.event import Event
    from mesh.events.inbox import Handler
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
        *,
        full_prompt: Callable[[str], Awaitable[bool]] = _summary_only,
        on_redacted: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        self._record = record
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
            facts_pb2.StepChanged.DESCRIPTOR.full_name: self.step_changed,
        }

    async def selection_made(self, unit: Transaction, event: Event) -> None:
        """Keeps a choice of a job."""
        selection = facts_pb2.SelectionMade.FromString(event.payload).selection
        job_id = selection.subject_context.job_id
        if job_id:  # an event of an earlier version may tell of a choice outside of any job
            self._scrub(selection, SummaryRedactor())
            await self._keep(unit, event, Kind.SELECTION, (selection.selection_id, job_id), selection)

    async def execution_finished(self, unit: Transaction, event: Event) -> None:
        """Keeps an attempt, and tells each of its assets how it was made."""
        fact = facts_pb2.ExecutionFinished.FromString(event.payload)
        full = await self._full_prompt(event.tenant_id)
        redactor = RecordRedactor() if full else SummaryRedactor()
        await bound(fact.execution.params)
        redactor.counts.update(fact.redactions)  # what the sender took out already
        self._scrub(fact, redactor)
        creation = summaries.creation_from_proto(fact, redactor, full_prompt=full)
        execution = fact.execution
        ids = (execution.execution_id, execution.job_id)
        with tracing.span("provenance_record", {"soma.job_id": execution.job_id, "soma.step_id": execution.step_id}):
            await self._keep(unit, event, Kind.EXECUTION, ids, execution, fact.sequence)
            if execution.asset_ids:
                await self._record.add_creation(unit, event.tenant_id, execution.asset_ids, creation)

    async def evaluation_done(self, unit: Transaction, event: Event) -> None:
        """Keeps a verdict."""
        evaluation = facts_pb2.EvaluationDone.FromString(event.payload).evaluation
        self._scrub(evaluation, SummaryRedactor())
        verdict = summaries.evaluation_from_proto(evaluation)
        await self._record.add_verdict(unit, event.tenant_id, evaluation.asset_id, verdict)
        if evaluation.job_id:
            ids = (evaluation.evaluation_id, evaluation.job_id)
            await self._keep(unit, event, Kind.EVALUATION, ids, evaluation)

    async def asset_stored(self, unit: Transaction, event: Event) -> None:
        """Keeps what an asset is."""
        asset = facts_pb2.AssetStored.FromString(event.payload).asset
        self._scrub(asset, SummaryRedactor())
        await self._record.add_asset(unit, event.tenant_id, summaries.stored_asset_from_proto(asset, event.occurred_at))
        if asset.origin.job_id:
            await self._keep(unit, event, Kind.ASSET, (asset.asset_id, asset.origin.job_id), asset)

    async def asset_tombstoned(self, unit: Transaction, event: Event) -> None:
        """Forgets what an erased asset was made with."""
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        await self._record.erase(unit, event.tenant_id, asset.asset_id, event.occurred_at)

    async def job_changed(self, unit: Transaction, event: Event) -> None:
        """Keeps the newest state of a job, and of its steps as far as it lists them."""
        changed = facts_pb2.JobChanged.FromString(event.payload)
        job, sequence = changed.job, changed.sequence
        self._scrub(job, SummaryRedactor())
        earlier = await self._record.job_fact(unit, event.tenant_id, job.job_id)
        late = earlier is not None and 0 < sequence < earlier.sequence
        steps: list[Fact] = []
        if job.step_count or late:  # else its sender lists all steps in each fact, and the newest has them
            steps += _step_facts(job, event.occurred_at, sequence)
            job.ClearField("steps")
        if job.step_count and not late and earlier is not None:  # what it replaces may be of an earlier version
            steps += _step_facts(Job.FromString(earlier.document), earlier.occurred_at, earlier.sequence)
        await self._keep(unit, event, Kind.JOB, (job.job_id, job.job_id), job, sequence)
        if steps:
            await self._record.add_facts(unit, event.tenant_id, steps)

    async def step_changed(self, unit: Transaction, event: Event) -> None:
        """Keeps the newest state of a step."""
        changed = facts_pb2.StepChanged.FromString(event.payload)
        self._scrub(changed, SummaryRedactor())
        await self._keep(unit, event, Kind.STEP, (changed.step.step_id, changed.job_id), changed.step, changed.sequence)

    def _scrub(self, message: Message, redactor: RecordRedactor) -> None:
        scrub(message, redactor)
        self._on_redacted(redactor.counts)

    async def _keep(  # noqa: PLR0917 - a fact and where it belongs
        self,
        unit: Transaction,
        event: Event,
        kind: Kind,
        ids: tuple[str, str],
        message: Message,
        sequence: int = 0,
    ) -> None:
        fact = _fact(kind, ids, event.occurred_at, message, sequence)
        await self._record.add_facts(unit, event.tenant_id, [fact], replaces=_is_newest(event, fact.summary))


def _fact(kind: Kind, ids: tuple[str, str], occurred_at: datetime, message: Message, sequence: int) -> Fact:
    fact_id, job_id = ids
    document = message.SerializeToString()
    return Fact(kind, fact_id, job_id, occurred_at, summary_from_proto(kind, document), document, sequence)


def _step_facts(job: Job, occurred_at: datetime, sequence: int) -> list[Fact]:
    """The steps that a job's fact lists, each as a fact of its own."""
    return [_fact(Kind.STEP, (step.step_id, job.job_id), occurred_at, step, sequence) for step in job.steps]


def _is_newest(event: Event, summary: Summary) -> bool:
    """Whether an event without a number tells the newest: events of a key arrive in order, unless a dead letter brings
    one back. A job's end is believed even then, since nothing follows it but a run that tells of itself again.
    """
    return not event.dlq_id or (isinstance(summary, JobSummary) and summary.ended)
