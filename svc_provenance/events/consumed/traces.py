"""Handlers of the events of other contexts, which are redacted before anything is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.rpc.params_truncation import truncate_params
from soma.events.v1 import facts_pb2
from soma.executor.v1.job_pb2 import Job
from svc_provenance.domain.model import EntryKind, JobSummary, TraceEntry
from svc_provenance.domain.record_redaction import RecordRedactor, SummaryRedactor
from svc_provenance.events.consumed.redaction import redact_message
from svc_provenance.rpc.convert import summaries
from svc_provenance.rpc.convert.summaries import summary_from_proto

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from google.protobuf.message import Message

    from mesh.events.event import Event
    from mesh.events.inbox import Handler
    from svc_provenance.app.ports import ProvenanceStore
    from svc_provenance.domain.model import Summary, Transaction


async def _summary_only(_tenant_id: str) -> bool:
    return False


class TraceEventHandlers:
    """Stores the entries of traces, and the provenance of assets.

    `allows_full_prompts` returns whether policy allows a tenant's full prompts to be stored; without it none are.
    `on_redacted` is called with what was redacted from each event, counted by kind.
    """

    def __init__(
        self,
        store: ProvenanceStore,
        *,
        allows_full_prompts: Callable[[str], Awaitable[bool]] = _summary_only,
        on_redacted: Callable[[Mapping[str, int]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._allows_full_prompts = allows_full_prompts
        self._on_redacted = on_redacted

    def handlers(self) -> Mapping[str, Handler]:
        """Returns the handlers by the type of their event."""
        return {
            facts_pb2.SelectionMade.DESCRIPTOR.full_name: self.selection_made,
            facts_pb2.ExecutionFinished.DESCRIPTOR.full_name: self.execution_finished,
            facts_pb2.EvaluationDone.DESCRIPTOR.full_name: self.evaluation_done,
            facts_pb2.AssetStored.DESCRIPTOR.full_name: self.asset_stored,
            facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned,
            facts_pb2.JobChanged.DESCRIPTOR.full_name: self.job_changed,
            facts_pb2.StepChanged.DESCRIPTOR.full_name: self.step_changed,
        }

    async def selection_made(self, transaction: Transaction, event: Event) -> None:
        """Stores a selection for a job."""
        selection = facts_pb2.SelectionMade.FromString(event.payload).selection
        job_id = selection.subject_context.job_id
        if job_id:  # events of an earlier version may be of a selection outside of any job
            self._redact(selection, SummaryRedactor())
            await self._add(transaction, event, EntryKind.SELECTION, (selection.selection_id, job_id), selection)

    async def execution_finished(self, transaction: Transaction, event: Event) -> None:
        """Stores an attempt, and for each of its assets how it was created."""
        finished = facts_pb2.ExecutionFinished.FromString(event.payload)
        full = await self._allows_full_prompts(event.tenant_id)
        redactor = RecordRedactor() if full else SummaryRedactor()
        await truncate_params(finished.execution.params)
        redactor.counts.update(finished.redactions)  # what the sender redacted already
        self._redact(finished, redactor)
        creation = summaries.creation_from_proto(finished, redactor, full_prompt=full)
        execution = finished.execution
        ids = (execution.execution_id, execution.job_id)
        with tracing.span("provenance_record", {"soma.job_id": execution.job_id, "soma.step_id": execution.step_id}):
            await self._add(transaction, event, EntryKind.EXECUTION, ids, execution, finished.sequence)
            if execution.asset_ids:
                await self._store.add_creation(transaction, event.tenant_id, execution.asset_ids, creation)

    async def evaluation_done(self, transaction: Transaction, event: Event) -> None:
        """Stores an evaluation."""
        evaluation = facts_pb2.EvaluationDone.FromString(event.payload).evaluation
        self._redact(evaluation, SummaryRedactor())
        summary = summaries.evaluation_from_proto(evaluation)
        await self._store.add_evaluation(transaction, event.tenant_id, evaluation.asset_id, summary)
        if evaluation.job_id:
            ids = (evaluation.evaluation_id, evaluation.job_id)
            await self._add(transaction, event, EntryKind.EVALUATION, ids, evaluation)

    async def asset_stored(self, transaction: Transaction, event: Event) -> None:
        """Stores what an asset is."""
        asset = facts_pb2.AssetStored.FromString(event.payload).asset
        self._redact(asset, SummaryRedactor())
        await self._store.add_asset(
            transaction, event.tenant_id, summaries.stored_asset_from_proto(asset, event.occurred_at)
        )
        if asset.origin.job_id:
            await self._add(transaction, event, EntryKind.ASSET, (asset.asset_id, asset.origin.job_id), asset)

    async def asset_tombstoned(self, transaction: Transaction, event: Event) -> None:
        """Removes what an erased asset was made with."""
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        await self._store.erase(transaction, event.tenant_id, asset.asset_id, event.occurred_at)

    async def job_changed(self, transaction: Transaction, event: Event) -> None:
        """Stores the newest state of a job, and of the steps that the event lists."""
        changed = facts_pb2.JobChanged.FromString(event.payload)
        job, sequence = changed.job, changed.sequence
        self._redact(job, SummaryRedactor())
        earlier = await self._store.job_entry(transaction, event.tenant_id, job.job_id)
        is_late = earlier is not None and 0 < sequence < earlier.sequence
        steps: list[TraceEntry] = []
        if job.step_count or is_late:  # otherwise its sender lists all steps in each event
            steps += _step_entries(job, event.occurred_at, sequence)
            job.ClearField("steps")
        if job.step_count and not is_late and earlier is not None:  # what it replaces may be of an earlier version
            listed = _step_entries(Job.FromString(earlier.document), earlier.occurred_at, earlier.sequence)
            await self._store.add_entries(transaction, event.tenant_id, listed, replaces=False)
        await self._add(transaction, event, EntryKind.JOB, (job.job_id, job.job_id), job, sequence)
        if steps:
            await self._store.add_entries(transaction, event.tenant_id, steps)

    async def step_changed(self, transaction: Transaction, event: Event) -> None:
        """Stores the newest state of a step."""
        changed = facts_pb2.StepChanged.FromString(event.payload)
        self._redact(changed, SummaryRedactor())
        await self._add(
            transaction, event, EntryKind.STEP, (changed.step.step_id, changed.job_id), changed.step, changed.sequence
        )

    def _redact(self, message: Message, redactor: RecordRedactor) -> None:
        redact_message(message, redactor)
        self._on_redacted(redactor.counts)

    async def _add(  # noqa: PLR0917 - an entry and its transaction
        self,
        transaction: Transaction,
        event: Event,
        kind: EntryKind,
        ids: tuple[str, str],
        message: Message,
        sequence: int = 0,
    ) -> None:
        entry = _entry(kind, ids, event.occurred_at, message, sequence)
        await self._store.add_entries(transaction, event.tenant_id, [entry], replaces=_is_newest(event, entry.summary))


def _entry(kind: EntryKind, ids: tuple[str, str], occurred_at: datetime, message: Message, sequence: int) -> TraceEntry:
    entry_id, job_id = ids
    document = message.SerializeToString()
    return TraceEntry(kind, entry_id, job_id, occurred_at, summary_from_proto(kind, document), document, sequence)


def _step_entries(job: Job, occurred_at: datetime, sequence: int) -> list[TraceEntry]:
    """Returns the steps that a job's event lists, each as an entry of its own."""
    return [_entry(EntryKind.STEP, (step.step_id, job.job_id), occurred_at, step, sequence) for step in job.steps]


def _is_newest(event: Event, summary: Summary) -> bool:
    """Returns whether an event without a sequence has the newest state: events of a key arrive in order, except that a
    dead letter is sent again. The end of a job is the newest even then: only another run follows it, with events.
    """
    return not event.dlq_id or (isinstance(summary, JobSummary) and summary.ended)
