"""Dead letters: events that could not be applied, and how their state changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum

from mesh.errors import Reason, SomaError

WORKFLOW = "RequeueDeadLetter"
CHANGED_SIGNAL = "news"
QUEUE, FORMER_QUEUE = "maintenance", "dead-letters"
"""Task queue of new workflows, and that of workflows which an earlier version started and which still run."""
_UINT32_RANGE = 1 << 32


@dataclass(frozen=True)
class DeadLetterRef:
    """Which dead letter a workflow is for."""

    tenant_id: str
    dlq_id: str


class State(StrEnum):
    """State of a dead letter."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    REQUEUED = "requeued"
    RESOLVED = "resolved"
    EXHAUSTED = "exhausted"
    DISCARDED = "discarded"
    EXPIRED = "expired"


class Cause(StrEnum):
    """Why an event became a dead letter."""

    MALFORMED = "malformed"
    FAILED = "failed"
    POLICY = "policy"
    TIMEOUT = "timeout"


CLOSED = frozenset({State.RESOLVED, State.DISCARDED})
"""Final states, except that DISCARDED becomes RESOLVED when the event is applied in the end."""
INACTIVE = CLOSED | {State.EXHAUSTED, State.EXPIRED}
"""States in which a dead letter does nothing by itself, so that its workflow ends."""


@dataclass(frozen=True)
class RequeuePolicy:
    """How dead letters are sent again by themselves: `requeues` times at most, with pauses that double; blocked ones
    every `policy_every` until they are `policy_expiry` old.
    """

    requeues: int
    initial_interval: timedelta
    max_interval: timedelta
    policy_every: timedelta
    policy_expiry: timedelta


@dataclass(frozen=True)
class DeadLetterRecord:
    """An event that a consumer group could not apply. `value` is the event as it was on the bus, `sent_id` the id of
    the event that the last requeue sent; `attempts` counts the handler's tries over all requeues.
    """

    dlq_id: str
    tenant_id: str
    group: str
    topic: str
    key: str
    event_id: str
    event_type: str
    cause: Cause
    detail: str
    attempts: int
    created_at: datetime
    updated_at: datetime
    state: State = State.WAITING
    requeues: int = 0
    correlation_id: str = ""
    trace_id: str = ""
    reason: str = ""
    sent_id: str = ""
    requeue_at: datetime | None = None
    expires_at: datetime | None = None
    size_bytes: int = 0
    value: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class DeliveryFailure:
    """A further failure to apply the event, after all retries."""

    cause: Cause
    detail: str
    attempts: int


def after_failure(
    dead_letter: DeadLetterRecord, failure: DeliveryFailure, now: datetime, policy: RequeuePolicy
) -> DeadLetterRecord:
    """Returns the dead letter after its event failed, for the first time or again. A closed one stays as it is."""
    if dead_letter.state in CLOSED:
        return dead_letter
    failed = replace(
        dead_letter,
        cause=failure.cause,
        detail=failure.detail,
        attempts=dead_letter.attempts + failure.attempts,
        updated_at=now,
        requeue_at=None,
    )
    if failure.cause is Cause.MALFORMED:
        return replace(failed, state=State.EXHAUSTED)
    if failure.cause is Cause.POLICY:
        return _blocked(failed, now, policy)
    if dead_letter.requeues >= policy.requeues:
        return replace(failed, state=State.EXHAUSTED)
    return replace(failed, state=State.WAITING, requeue_at=now + _pause(dead_letter, policy))


def _blocked(dead_letter: DeadLetterRecord, now: datetime, policy: RequeuePolicy) -> DeadLetterRecord:
    expires_at = dead_letter.expires_at or dead_letter.created_at + policy.policy_expiry
    if now >= expires_at:
        return replace(dead_letter, state=State.EXPIRED, expires_at=expires_at)
    return replace(
        dead_letter, state=State.BLOCKED, expires_at=expires_at, requeue_at=min(now + policy.policy_every, expires_at)
    )


def _pause(dead_letter: DeadLetterRecord, policy: RequeuePolicy) -> timedelta:
    """Doubles with each requeue. Jitter takes up to half of it, so that dead letters do not all return together."""
    interval: timedelta = min(policy.initial_interval * (1 << min(dead_letter.requeues, 20)), policy.max_interval)
    digest = hashlib.sha256(f"{dead_letter.dlq_id}/{dead_letter.requeues}".encode()).digest()
    fraction: float = 0.5 + int.from_bytes(digest[:4]) / _UINT32_RANGE / 2
    return interval * fraction


def next_state(dead_letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    """Returns the dead letter after what it does by itself at this moment: it expires, is sent again, or nothing."""
    if dead_letter.state not in {State.WAITING, State.BLOCKED}:
        return dead_letter
    if dead_letter.state is State.BLOCKED and dead_letter.expires_at is not None and now >= dead_letter.expires_at:
        return replace(dead_letter, state=State.EXPIRED, requeue_at=None, updated_at=now)
    if dead_letter.requeue_at is None or now < dead_letter.requeue_at:
        return dead_letter
    return _requeued(dead_letter, now, sent_id)


def wake_at(dead_letter: DeadLetterRecord) -> datetime | None:
    """Returns when the dead letter does something by itself; None when it waits for others or is inactive."""
    return dead_letter.requeue_at if dead_letter.state in {State.WAITING, State.BLOCKED} else None


def requeued(dead_letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    """Returns the dead letter sent again on request; one that is being sent stays as it is."""
    if dead_letter.state is State.REQUEUED:
        return dead_letter
    if dead_letter.state in CLOSED:
        raise _failed_precondition(
            dead_letter, f"it is {dead_letter.state.value}; only unsettled dead letters can be sent again"
        )
    if dead_letter.cause is Cause.MALFORMED:
        raise _failed_precondition(
            dead_letter, "its event cannot be read, and would fail again; discard it with a reason"
        )
    return _requeued(dead_letter, now, sent_id)


def _requeued(dead_letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    return replace(
        dead_letter,
        state=State.REQUEUED,
        requeues=dead_letter.requeues + 1,
        sent_id=sent_id,
        requeue_at=None,
        updated_at=now,
    )


def resolved(dead_letter: DeadLetterRecord, now: datetime) -> DeadLetterRecord:
    """Returns the dead letter after its event was applied, whatever was decided meanwhile."""
    if dead_letter.state is State.RESOLVED:
        return dead_letter
    return replace(dead_letter, state=State.RESOLVED, requeue_at=None, updated_at=now)


def discarded(dead_letter: DeadLetterRecord, reason: str, now: datetime) -> DeadLetterRecord:
    """Returns the dead letter discarded for good. One that is discarded already keeps its first reason."""
    if dead_letter.state is State.DISCARDED:
        return dead_letter
    if dead_letter.state is State.RESOLVED:
        raise _failed_precondition(dead_letter, "its event was applied")
    return replace(dead_letter, state=State.DISCARDED, reason=reason, requeue_at=None, updated_at=now)


def _failed_precondition(dead_letter: DeadLetterRecord, text: str) -> SomaError:
    return SomaError(Reason.FAILED_PRECONDITION, f"dead letter {dead_letter.dlq_id}: {text}")
