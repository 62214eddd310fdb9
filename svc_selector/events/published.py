"""The events that the selector publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from soma.events.v1 import facts_pb2
from svc_selector.context import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from svc_selector.domain.decision import Decision
    from svc_selector.rpc.convert.selections import SelectionConverter

TOPIC = facts_of(NAME)
MAX_EVENT_BYTES = 512 << 10
"""Most bytes of selections in one event, except for a single selection that is larger."""


class SelectionEvents:
    """Makes the events of decisions from their serialised Selections, which the converter caches."""

    def __init__(self, converter: SelectionConverter) -> None:
        self._converter = converter

    def from_decisions(self, decisions: Sequence[Decision]) -> list[Event]:
        """Returns SelectionMade of each decision for a job, in order within it; SelectionsMade of each tenant's others.

        The others may be hundreds a second, and one event for each would cost more than the decision itself.
        """
        events: list[Event] = []
        without_job: dict[str, list[Decision]] = {}
        for decision in decisions:
            subject = decision.subject
            if subject.job_id:
                payload = facts_pb2.SelectionMade()
                payload.selection.MergeFromString(self._converter.to_bytes(decision))
                events.append(_event(payload, decision, subject.job_id))
            else:
                without_job.setdefault(subject.tenant_id, []).append(decision)
        for tenant_id, tenant_decisions in without_job.items():
            for batch in self._batches(tenant_decisions):
                batch_payload = facts_pb2.SelectionsMade()
                for decision in batch:
                    batch_payload.selections.add().MergeFromString(self._converter.to_bytes(decision))
                events.append(_event(batch_payload, batch[0], tenant_id))
        return events

    def _batches(self, decisions: Sequence[Decision]) -> Iterator[list[Decision]]:
        """Splits decisions into batches that each fit into an event."""
        batch: list[Decision] = []
        size = 0
        for decision in decisions:
            size += len(self._converter.to_bytes(decision))
            if batch and size > MAX_EVENT_BYTES:
                yield batch
                batch, size = [], len(self._converter.to_bytes(decision))
            batch.append(decision)
        yield batch


def _event(payload: facts_pb2.SelectionMade | facts_pb2.SelectionsMade, first: Decision, key: str) -> Event:
    return Event.from_message(
        payload,
        event_id=derive("selection.made", first.selection_id),
        topic=TOPIC,
        key=key,
        tenant_id=first.subject.tenant_id,
        occurred_at=first.decided_at,
        correlation_id=key,
    )
