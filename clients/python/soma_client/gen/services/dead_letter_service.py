"""Looks at dead letters and brings them back or gives them up."""

# Generated from protos/soma/provenance/v1/dead_letter_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Sequence

from soma_client.calls import Caller
from soma_client.gen.soma.events import v1 as events_v1
from soma_client.gen.soma.provenance import v1 as provenance_v1
from soma_client.paging import Pages


class DeadLetterServiceMethods:
    """Looks at dead letters and brings them back or gives them up."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(
        self,
        *,
        state: provenance_v1.DeadLetterState = provenance_v1.DeadLetterState(0),
        topic: str = "",
        group: str = "",
        event_type: str = "",
        cause: events_v1.DeadLetterCause = events_v1.DeadLetterCause(0),
        correlation_id: str = "",
        platform: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[provenance_v1.ListDeadLettersResponse, provenance_v1.DeadLetter]:
        """Lists letters, newest first.

        Args:
            state: Only in this state.
            topic: Only of this topic.
            group: Only of this consumer group.
            event_type: Only of this type of event.
            cause: Only for this cause.
            correlation_id: Only of this whole, for example a job.
            platform: Letters of the platform in place of the tenant's; for platform administrators.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> provenance_v1.ListDeadLettersRequest:
            return provenance_v1.ListDeadLettersRequest(
                state=state,
                topic=topic,
                group=group,
                event_type=event_type,
                cause=cause,
                correlation_id=correlation_id,
                platform=platform,
                page_size=page_size,
                page_token=token,
            )

        return Pages(
            self._caller,
            "/soma.provenance.v1.DeadLetterService/ListDeadLetters",
            request,
            provenance_v1.ListDeadLettersResponse,
            lambda page: page.dead_letters,
            page_token=page_token,
            timeout=timeout,
        )

    async def get(self, dlq_id: str, *, timeout: float | None = None) -> provenance_v1.DeadLetter:
        """Reads one letter with its event, redacted.

        Args:
            dlq_id: Id of the letter. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetDeadLetterRequest(dlq_id=dlq_id)
        return await self._caller.unary(
            "/soma.provenance.v1.DeadLetterService/GetDeadLetter", request, provenance_v1.DeadLetter, timeout
        )

    async def requeue(self, dlq_id: str, *, timeout: float | None = None) -> provenance_v1.DeadLetter:
        """Sends a letter's event again to the group that gave it up. Idempotent while it is under way.

        Args:
            dlq_id: Id of the letter. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.RequeueDeadLetterRequest(dlq_id=dlq_id)
        return await self._caller.unary(
            "/soma.provenance.v1.DeadLetterService/RequeueDeadLetter", request, provenance_v1.DeadLetter, timeout
        )

    async def requeue_dead_letters(
        self,
        *,
        dlq_ids: Sequence[str] = (),
        topic: str = "",
        group: str = "",
        event_type: str = "",
        limit: int = 0,
        timeout: float | None = None,
    ) -> provenance_v1.RequeueDeadLettersResponse:
        """Sends the events of many letters again, oldest first; those that cannot be are left and counted.

        Args:
            dlq_ids: These letters; with none, all that the filters leave.
            topic: Only of this topic.
            group: Only of this consumer group.
            event_type: Only of this type of event.
            limit: Most letters, 1 to 500; 0 means 100.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.RequeueDeadLettersRequest(
            dlq_ids=list(dlq_ids), topic=topic, group=group, event_type=event_type, limit=limit
        )
        return await self._caller.unary(
            "/soma.provenance.v1.DeadLetterService/RequeueDeadLetters",
            request,
            provenance_v1.RequeueDeadLettersResponse,
            timeout,
        )

    async def discard(self, dlq_id: str, reason: str, *, timeout: float | None = None) -> provenance_v1.DeadLetter:
        """Gives a letter up for good; it stays readable until retention removes it.

        Args:
            dlq_id: Id of the letter. Required.
            reason: Why. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.DiscardDeadLetterRequest(dlq_id=dlq_id, reason=reason)
        return await self._caller.unary(
            "/soma.provenance.v1.DeadLetterService/DiscardDeadLetter", request, provenance_v1.DeadLetter, timeout
        )
