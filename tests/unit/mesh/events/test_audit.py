"""What an audit entry says, and what it never says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mesh.context import Caller, RequestContext, use
from mesh.events.audit import DENIED, REASON_CHARS, AuditActor, AuditEntry, Auditor, canonical, trimmed
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.testing import FakeClock
from soma.events.v1.audit_pb2 import AUDIT_DECISION_ALLOWED, AUDIT_DECISION_DENIED, AuditRecorded

if TYPE_CHECKING:
    from mesh.events.event import Event

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-00"
ALICE = Caller("acme", "alice", ("admin",), (), "key", "token", actor="spiffe://soma/executor")


class Paper(Outbox):
    """An outbox that keeps what it is given, with the connection it came through."""

    def __init__(self) -> None:
        self.added: list[tuple[object, Event]] = []

    async def add(self, connection: object, *events: Event) -> None:
        self.added += [(connection, event) for event in events]

    @property
    def event(self) -> Event:
        return self.added[-1][1]

    @property
    def entry(self) -> AuditRecorded:
        return AuditRecorded.FromString(self.event.payload)


@dataclass
class Desk:
    paper: Paper = field(default_factory=Paper)
    clock: FakeClock = field(default_factory=FakeClock)

    async def record(self, **changes: object) -> None:
        given = {
            "action": "budget.write", "resource_type": "budget", "resource_id": "image", "before": b"1", "after": b"2",
        }  # fmt: skip
        connection = changes.pop("connection", None)
        await self.auditor.record(connection, **{**given, **changes})  # type: ignore[arg-type]

    @property
    def auditor(self) -> Auditor:
        return Auditor("selector", self.paper, clock=self.clock, ids=SystemIds(), policy_id=lambda: "policy")


def served(caller: Caller | None = ALICE) -> RequestContext:
    return RequestContext(caller, "request", TRACE, traceparent=TRACEPARENT)


async def test_an_entry_says_who_did_what_to_which_thing_by_which_policy_in_which_trace() -> None:
    desk = Desk()
    with use(served()):
        await desk.record(reason="end of month")
    assert desk.paper.entry == AuditRecorded(
        action="budget.write",
        context="selector",
        subject="alice",
        actor="spiffe://soma/executor",
        resource_type="budget",
        resource_id="image",
        decision=AUDIT_DECISION_ALLOWED,
        policy_id="policy",
        before_digest=hashlib.sha256(b"1").hexdigest(),
        after_digest=hashlib.sha256(b"2").hexdigest(),
        trace_id=TRACE,
        reason="end of month",
    )


async def test_an_entry_goes_through_the_given_connection_keyed_by_the_caller_s_tenant() -> None:
    desk, connection = Desk(), object()
    with use(served()):
        await desk.record(connection=connection)
    [(through, event)] = desk.paper.added
    assert through is connection
    assert (event.topic, event.type) == ("audit.events", "soma.events.v1.AuditRecorded")
    assert (event.key, event.tenant_id) == ("acme", "acme")
    assert event.occurred_at == desk.clock.now()


async def test_what_is_not_there_has_no_digest() -> None:
    desk = Desk()
    await desk.record(before=None, after=None)
    assert (desk.paper.entry.before_digest, desk.paper.entry.after_digest) == ("", "")


async def test_work_without_a_caller_is_the_service_s_own_and_asked_no_policy() -> None:
    desk = Desk()
    await desk.record(tenant_id="acme")
    assert (desk.paper.entry.subject, desk.paper.entry.policy_id) == ("spiffe://soma/selector", "")
    assert desk.paper.event.key == "acme"


async def test_who_did_it_can_be_told() -> None:
    desk = Desk()
    await desk.record(by=AuditActor("bob", "spiffe://soma/executor", TRACEPARENT), tenant_id="acme")
    entry = desk.paper.entry
    assert (entry.subject, entry.actor, entry.trace_id) == ("bob", "spiffe://soma/executor", TRACE)
    assert desk.paper.event.traceparent == TRACEPARENT


async def test_what_a_service_does_for_all_tenants_belongs_to_the_platform() -> None:
    desk = Desk()
    with use(served(Caller("*", "spiffe://soma/executor", ("service",), (), "", ""))):
        await desk.record()
    assert (desk.paper.event.key, desk.paper.event.tenant_id) == ("platform", "")


async def test_a_refusal_says_so() -> None:
    desk = Desk()
    await desk.record(decision=DENIED, after=None)
    assert desk.paper.entry.decision == AUDIT_DECISION_DENIED


async def test_entries_of_a_batch_keep_their_order_and_their_policy() -> None:
    desk = Desk()
    batch = [AuditEntry("selection.create", "selection", str(place), policy_id=f"p{place}") for place in range(3)]
    await desk.auditor.record_all(None, batch)
    told = [AuditRecorded.FromString(event.payload) for _, event in desk.paper.added]
    assert [(entry.resource_id, entry.policy_id) for entry in told] == [("0", "p0"), ("1", "p1"), ("2", "p2")]


async def test_a_reason_holds_neither_secrets_nor_personal_data() -> None:
    desk = Desk()
    await desk.record(reason="asked by\n bob@example.com with sk-abcdefghijklmnop1234")
    assert desk.paper.entry.reason == "asked by [email] with [key]"


@given(st.text())
def test_a_reason_is_one_short_line(said: str) -> None:
    assert len(trimmed(said)) <= REASON_CHARS
    assert "\n" not in trimmed(said)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Thing:
    colour: Colour
    at: datetime
    tags: frozenset[str]
    data: bytes = b"\x01"


def test_a_state_has_one_serialisation_whatever_its_form() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    thing = Thing(Colour.RED, at, frozenset({"b", "a"}))
    other_zone = at.astimezone(timezone(timedelta(hours=2)))
    row = {"tags": ["a", "b"], "data": b"\x01", "at": other_zone, "colour": "red"}
    assert canonical(thing) == canonical(row)
    assert canonical(thing) != canonical({**row, "colour": "blue"})


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_the_order_of_fields_does_not_matter(fields: dict[str, object]) -> None:
    assert canonical(fields) == canonical(dict(reversed(fields.items())))
