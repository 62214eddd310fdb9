"""What becomes of events that could not be applied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum

from mesh.errors import Reason, SomaError

WORKFLOW = "RequeueDeadLetter"
NEWS_SIGNAL = "news"
QUEUE, FORMER_QUEUE = "maintenance", "dead-letters"
"""Task queue of new workflows, and the one of workflows that an earlier version started and that still run."""
_SCALE = 1 << 32


@dataclass(frozen=True)
class DeadLetterRef:
    """Which letter a workflow is for."""

    tenant_id: str
    dlq_id: str


class State(StrEnum):
    """Where a letter stands."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    REQUEUED = "requeued"
    RESOLVED = "resolved"
    EXHAUSTED = "exhausted"
    DISCARDED = "discarded"
    EXPIRED = "expired"


class Cause(StrEnum):
    """Why an event was given up."""

    MALFORMED = "malformed"
    FAILED = "failed"
    POLICY = "policy"
    TIMEOUT = "timeout"


SETTLED = frozenset({State.RESOLVED, State.DISCARDED})
"""States that no decision leaves; only what was applied in the end still changes DISCARDED to RESOLVED."""
AT_REST = SETTLED | {State.EXHAUSTED, State.EXPIRED}
"""States in which a letter does nothing by itself."""


@dataclass(frozen=True)
class RequeuePolicy:
    """How letters are sent again by themselves: so often at most, with pauses that double; blocked ones every
    `policy_every` until they are `policy_expiry` old.
    """

    requeues: int
    first: timedelta
    longest: timedelta
    policy_every: timedelta
    policy_expiry: timedelta


@dataclass(frozen=True)
class DeadLetterRecord:
    """An event that a consumer group gave up. `value` is the event as it was on the bus, `sent_id` the id of the event
    that the last requeue sent; `attempts` counts the handler's tries over all requeues.
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
    """One more time that the event was given up."""

    cause: Cause
    detail: str
    attempts: int


def after_failure(
    letter: DeadLetterRecord, failure: DeliveryFailure, now: datetime, policy: RequeuePolicy
) -> DeadLetterRecord:
    """The letter after its event was given up, for the first time or again. A settled one stays as it is."""
    if letter.state in SETTLED:
        return letter
    grown = replace(
        letter,
        cause=failure.cause,
        detail=failure.detail,
        attempts=letter.attempts + failure.attempts,
        updated_at=now,
        requeue_at=None,
    )
    if failure.cause is Cause.MALFORMED:
        return replace(grown, state=State.EXHAUSTED)
    if failure.cause is Cause.POLICY:
        return _blocked(grown, now, policy)
    if letter.requeues >= policy.requeues:
        return replace(grown, state=State.EXHAUSTED)
    return replace(grown, state=State.WAITING, requeue_at=now + _pause(letter, policy))


def _blocked(letter: DeadLetterRecord, now: datetime, policy: RequeuePolicy) -> DeadLetterRecord:
    expires = letter.expires_at or letter.created_at + policy.policy_expiry
    if now >= expires:
        return replace(letter, state=State.EXPIRED, expires_at=expires)
    return replace(letter, state=State.BLOCKED, expires_at=expires, requeue_at=min(now + policy.policy_every, expires))


def _pause(letter: DeadLetterRecord, policy: RequeuePolicy) -> timedelta:
    """Doubles with each requeue; between half and the whole of it, so that letters do not all return together."""
    whole: timedelta = min(policy.first * (1 << min(letter.requeues, 20)), policy.longest)
    drawn = hashlib.sha256(f"{letter.dlq_id}/{letter.requeues}".encode()).digest()
    share: float = 0.5 + int.from_bytes(drawn[:4]) / _SCALE / 2
    return whole * share


def advanced(letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    """The letter after what it does by itself at this moment: it expires, is sent again, or nothing."""
    if letter.state not in {State.WAITING, State.BLOCKED}:
        return letter
    if letter.state is State.BLOCKED and letter.expires_at is not None and now >= letter.expires_at:
        return replace(letter, state=State.EXPIRED, requeue_at=None, updated_at=now)
    if letter.requeue_at is None or now < letter.requeue_at:
        return letter
    return _sent(letter, now, sent_id)


def wake_at(letter: DeadLetterRecord) -> datetime | None:
    """When the letter does something by itself; None when it waits for others or is at rest."""
    return letter.requeue_at if letter.state in {State.WAITING, State.BLOCKED} else None


def requeued(letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    """The letter sent again because somebody wants it; one under way stays as it is."""
    if letter.state is State.REQUEUED:
        return letter
    if letter.state in SETTLED:
        raise _refusal(letter, f"it is {letter.state.value}; only unsettled letters can be sent again")
    if letter.cause is Cause.MALFORMED:
        raise _refusal(letter, "its event cannot be read, and would fail again; discard it with a reason")
    return _sent(letter, now, sent_id)


def _sent(letter: DeadLetterRecord, now: datetime, sent_id: str) -> DeadLetterRecord:
    return replace(
        letter,
        state=State.REQUEUED,
        requeues=letter.requeues + 1,
        sent_id=sent_id,
        requeue_at=None,
        updated_at=now,
    )


def resolved(letter: DeadLetterRecord, now: datetime) -> DeadLetterRecord:
    """The letter after its event was applied, whatever was decided meanwhile."""
    if letter.state is State.RESOLVED:
        return letter
    return replace(letter, state=State.RESOLVED, requeue_at=None, updated_at=now)


def discarded(letter: DeadLetterRecord, reason: str, now: datetime) -> DeadLetterRecord:
    """The letter given up for good. One that is discarded keeps its first reason."""
    if letter.state is State.DISCARDED:
        return letter
    if letter.state is State.RESOLVED:
        raise _refusal(letter, "its event was applied")
    return replace(letter, state=State.DISCARDED, reason=reason, requeue_at=None, updated_at=now)


def _refusal(letter: DeadLetterRecord, text: str) -> SomaError:
    return SomaError(Reason.FAILED_PRECONDITION, f"dead letter {letter.dlq_id}: {text}")
