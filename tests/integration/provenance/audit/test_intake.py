"""From a context to its tenant's chain."""

from __future__ import annotations

from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_provenance.adapters.postgres.audit import append_entries
from svc_provenance.domain.tenant_scope import PLATFORM
from svc_provenance.events.consumed.audit import AuditEventHandlers
from tests.chaos.provenance.audit.under_test import TENANT, AuditUnderTest, event


async def test_what_a_context_records_arrives_in_its_tenants_chain(place: AuditUnderTest) -> None:
    bus, codec = MemoryBus(), Codec()
    dead_letter_sink = DeadLetterPublisher(Outbox(), ids=SystemIds(), clock=place.clock)
    handlers = AuditEventHandlers(append_entries).handlers()
    async with (
        Consumer(
            bus,
            place.postgres,
            codec,
            "g",
            ("audit.events",),
            handlers,
            dead_letter_sink=dead_letter_sink,
            clock=place.clock,
        ),
        Relay(place.postgres, bus, codec, place.clock),
    ):
        told = auditor("selector")
        for tenant in (TENANT, "", TENANT):
            async with place.postgres.transaction(tenant or SYSTEM) as connection:
                await told.record(
                    connection, action="budget.write", resource_type="budget", resource_id="b",
                    before=None, after=b"1", tenant_id=tenant,
                )  # fmt: skip

        async def arrived() -> bool:
            return [(await place.store.chain_state(chain)).last_sequence for chain in (TENANT, PLATFORM)] == [2, 1]

        await eventually(arrived)
    assert [(await place.audit.verify(chain)).faults for chain in (TENANT, PLATFORM)] == [[], []]


async def test_free_text_is_redacted_before_it_is_kept_and_counted(place: AuditUnderTest) -> None:
    await place.tell(event(1, reason="ann@example.com asked"))
    [chained_entry] = await place.store.entries_between(TENANT, None, 0, 1, 9)
    assert chained_entry.entry.audit_action.reason == "[email] asked"
    assert place.redacted == {"email": 1}
