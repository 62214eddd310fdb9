"""Audit: every change of state, and every refusal, told to the record in the transaction that it speaks of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from mesh import context, tracing
from mesh.events.event import Event
from mesh.events.topics import AUDIT
from mesh.redaction import Redactor
from soma.events.v1 import audit_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.events.outbox import Outbox
    from mesh.ids import Ids

PLATFORM = "platform"
"""Key of what belongs to no tenant."""
REASON_CHARS = 300
_EVERY_TENANT = "*"
_TRACE_ID = slice(3, 35)


class AuditDecision(StrEnum):
    """What was decided; the names of `soma.events.v1.AuditDecision` without their prefix."""

    ALLOWED = "ALLOWED"
    DENIED = "DENIED"


ALLOWED = AuditDecision.ALLOWED
DENIED = AuditDecision.DENIED


@dataclass(frozen=True)
class AuditActor:
    """Who did it, where that is not the caller being served. `actor` is a service that acted for the subject,
    `traceparent` the W3C trace it belongs to.
    """

    subject: str
    actor: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """One change or refusal. `before` and `after` are canonical serialisations: None where the thing was not there.

    `tenant_id` None: the caller's, "" for the platform. `by` None: the caller, else the service itself. `policy_id`
    None: that of the policy which let the caller in. `at` None: now. `trace_id` is the trace where there is no
    traceparent. `event_id` None: a new one; an entry that has one may be recorded again and is there once.
    """

    action: str
    resource_type: str
    resource_id: str
    before: bytes | None = None
    after: bytes | None = None
    tenant_id: str | None = None
    reason: str = ""
    decision: AuditDecision = ALLOWED
    by: AuditActor | None = None
    policy_id: str | None = None
    at: datetime | None = None
    trace_id: str = ""
    event_id: str | None = None


class Auditor:
    """Writes audit entries of one context to its outbox: digests of what changed, never its content."""

    def __init__(
        self,
        context_name: str,
        outbox: Outbox,
        *,
        clock: Clock,
        ids: Ids,
        policy_id: Callable[[], str],
    ) -> None:
        self._context = context_name
        self._outbox = outbox
        self._clock = clock
        self._ids = ids
        self._policy_id = policy_id

    async def record(
        self,
        connection: asyncpg.Connection,
        *,
        action: str,
        resource_type: str,
        resource_id: str,
        before: bytes | None,
        after: bytes | None,
        tenant_id: str | None = None,
        reason: str = "",
        decision: AuditDecision = ALLOWED,
        by: AuditActor | None = None,
        policy_id: str | None = None,
    ) -> None:
        """Add one entry to the open transaction; see `AuditEntry`."""
        entry = AuditEntry(
            action, resource_type, resource_id, before, after, tenant_id, reason, decision, by, policy_id
        )
        await self.record_all(connection, [entry])

    def new_event_id(self) -> str:
        """An id for an entry that is recorded later, and again where it is unknown whether that was committed."""
        return self._ids.new()

    async def record_all(self, connection: asyncpg.Connection, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the open transaction, in order."""
        if entries:
            await self._outbox.add(connection, *map(self._event, entries))

    def _event(self, entry: AuditEntry) -> Event:
        request = context.current()
        caller = request.caller if request is not None else None
        by = entry.by or _actor_of(caller) or AuditActor(f"spiffe://soma/{self._context}")
        traceparent = by.traceparent or tracing.current() or (request.traceparent if request is not None else "")
        policy_id = entry.policy_id if entry.policy_id is not None else self._policy_of(caller)
        message = audit_pb2.AuditRecorded(
            action=entry.action,
            context=self._context,
            subject=by.subject,
            actor=by.actor,
            resource_type=entry.resource_type,
            resource_id=entry.resource_id,
            decision=audit_pb2.AuditDecision.Value(f"AUDIT_DECISION_{entry.decision}"),
            policy_id=policy_id,
            before_digest=_digest(entry.before),
            after_digest=_digest(entry.after),
            trace_id=traceparent[_TRACE_ID] or entry.trace_id or (request.trace_id if request is not None else ""),
            reason=trimmed(entry.reason),
        )
        tenant_id = _tenant(entry.tenant_id, caller)
        return Event.from_message(
            message,
            event_id=entry.event_id or self._ids.new(),
            topic=AUDIT,
            key=tenant_id or PLATFORM,
            tenant_id=tenant_id,
            occurred_at=entry.at or self._clock.now(),
            traceparent=traceparent,
        )

    def _policy_of(self, caller: Caller | None) -> str:
        """The policy that let the caller in; work without a caller asked none."""
        return self._policy_id() if caller is not None else ""


def _actor_of(caller: Caller | None) -> AuditActor | None:
    return AuditActor(caller.subject, caller.actor) if caller is not None else None


def _tenant(given: str | None, caller: Caller | None) -> str:
    tenant_id = given if given is not None else (caller.tenant_id if caller is not None else "")
    return "" if tenant_id == _EVERY_TENANT else tenant_id


def _digest(state: bytes | None) -> str:
    return "" if state is None else hashlib.sha256(state).hexdigest()


def trimmed(reason: str) -> str:
    """What was said, on one line, without personal data and secrets, at most `REASON_CHARS` characters."""
    text = Redactor().text(" ".join(reason.split()))
    return text if len(text) <= REASON_CHARS else f"{text[: REASON_CHARS - 1]}…"


def canonical(state: object) -> bytes:
    """The one serialisation of a state: JSON with sorted keys. Takes dataclasses, mappings and what they hold."""
    return json.dumps(_plain(state), sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    match value:
        case None | str() | int() | float() | list() | tuple() | dict():
            plain: object = value
        case datetime():
            plain = value.astimezone(UTC).isoformat()
        case bytes():
            plain = value.hex()
        case Mapping():
            plain = dict(value)
        case Set():
            plain = sorted(value)
        case _:
            plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
    return plain
