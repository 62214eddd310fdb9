"""Audit entries and the transaction they speak of."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from mesh.clock import SystemClock
from mesh.context import Caller, RequestContext, use
from mesh.errors import Reason, SomaError
from mesh.events import refusal_auditor, unknown_key_auditor
from mesh.events.audit import AuditEntry, Auditor
from mesh.events.audit_queue import AuditQueue
from mesh.events.refusal_auditor import RefusalAuditor
from mesh.events.unknown_key_auditor import UnknownKeyAuditor
from mesh.lifecycle import background
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor, entries
from mesh.testing.contract import eventually
from soma.events.v1.audit_pb2 import AUDIT_DECISION_DENIED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from tests.conftest import Database

ALICE = Caller("acme", "alice", (), (), "", "")


class BrokenError(Exception):
    """The change fails."""


async def change(postgres: Postgres, *, fails: bool) -> None:
    with use(RequestContext(ALICE, "", "")):
        async with postgres.transaction() as connection:
            await auditor("probe").record(
                connection, action="thing.write", resource_type="thing", resource_id="1", before=None, after=b"{}"
            )
            if fails:
                raise BrokenError


async def test_an_entry_is_there_with_its_change(postgres: Postgres) -> None:
    await change(postgres, fails=False)
    [(tenant, entry)] = await entries(postgres)
    assert (tenant, entry.subject, entry.action) == ("acme", "alice", "thing.write")


async def test_a_change_that_fails_leaves_no_entry(postgres: Postgres) -> None:
    with pytest.raises(BrokenError):
        await change(postgres, fails=True)
    assert await entries(postgres) == []


class Away(Auditor):
    """Fails a first time, as when the database is away."""

    fails = 1

    async def record_all(self, connection: asyncpg.Connection, entries: Sequence[AuditEntry]) -> None:
        """Fail, or record."""
        if self.fails:
            self.fails -= 1
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        await super().record_all(connection, entries)


def queue(postgres: Postgres, kind: type[Auditor] = Auditor) -> RefusalAuditor:
    return RefusalAuditor(auditor("probe", kind), postgres, SystemClock(), lambda: "policy")


def refuse(waiting: RefusalAuditor, count: int) -> None:
    for place in range(count):
        waiting.record("thing.write", f"soma.v1.Things/{place}", ALICE, "not an admin")


async def test_refusals_are_written_beside_the_calls(postgres: Postgres) -> None:
    waiting = queue(postgres)
    async with background(waiting.write, "refusals"):
        refuse(waiting, 3)

        async def there() -> bool:
            return len(await entries(postgres)) == 3

        await eventually(there)
    tenant, entry = (await entries(postgres))[0]
    assert (tenant, entry.subject, entry.action, entry.resource_type) == ("acme", "alice", "thing.write", "rpc")
    assert (entry.resource_id, entry.decision, entry.policy_id) == (
        "soma.v1.Things/0", AUDIT_DECISION_DENIED, "policy",
    )  # fmt: skip


async def test_refusals_wait_for_the_database_and_none_is_written_twice(postgres: Postgres) -> None:
    waiting = queue(postgres, Away)
    refuse(waiting, 2)
    await waiting.close()
    assert await entries(postgres) == []
    await waiting.close()
    await waiting.close()
    assert len(await entries(postgres)) == 2


class AnswerLost(Postgres):
    """Commits a transaction and loses the connection before it hears of that, once."""

    lost = 0

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        async with super().transaction(tenant_id) as connection:
            yield connection
        self.lost += 1
        if self.lost == 1:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")


async def test_refusals_whose_commit_was_not_heard_of_are_written_once(database: Database) -> None:
    async with AnswerLost.open(await database("probe")) as postgres:
        waiting = queue(postgres)
        refuse(waiting, 2)
        await waiting.close()
        refuse(waiting, 1)
        await waiting.close()
        found = await entries(postgres)
        assert [entry.resource_id[-1] for _, entry in found] == ["0", "1", "0"]


async def test_event_that_is_there_already_is_not_added_again(postgres: Postgres) -> None:
    recorder = auditor("probe")
    first, second = (
        AuditEntry("thing.write", "thing", name, tenant_id="acme", event_id=recorder.new_event_id()) for name in "ab"
    )
    for batch in ([first], [first, second], [first, second]):
        async with postgres.transaction("acme") as connection:
            await recorder.record_all(connection, batch)
    assert [entry.resource_id for _, entry in await entries(postgres)] == ["a", "b"]


async def test_entry_of_the_queue_keeps_caller_trace_and_policy_of_its_call(postgres: Postgres) -> None:
    waiting = AuditQueue(auditor("probe"), postgres, SystemClock(), lambda: "policy")
    with use(RequestContext(ALICE, "request", "0af7651916cd43dd8448eb211c80319c")):
        waiting.add(AuditEntry("token.create", "token", "key-1", after=b"claims"))
    await waiting.close()
    [(tenant, entry)] = await entries(postgres)
    assert (tenant, entry.subject, entry.policy_id) == ("acme", "alice", "policy")
    assert entry.trace_id == "0af7651916cd43dd8448eb211c80319c"


async def test_full_queue_takes_no_entry(postgres: Postgres) -> None:
    waiting = AuditQueue(auditor("probe"), postgres, SystemClock(), lambda: "policy", limit=1)
    waiting.add(AuditEntry("token.create", "token", "key-1"))
    with pytest.raises(SomaError) as refused:
        waiting.add(AuditEntry("token.create", "token", "key-2"))
    assert refused.value.reason is Reason.OVERLOADED
    await waiting.close()
    assert len(await entries(postgres)) == 1


async def test_a_flood_of_refusals_is_cut_off_and_counted(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal_auditor, "LIMIT", 5)
    waiting = queue(postgres)
    shed = waiting._dropped.labels()
    before = shed._value.get()
    refuse(waiting, 8)
    await waiting.close()
    assert len(await entries(postgres)) == 5
    assert shed._value.get() - before == 3


async def test_key_that_does_not_exist_is_counted_each_time_and_audited_once(postgres: Postgres) -> None:
    unknown = UnknownKeyAuditor(auditor("probe"), postgres, SystemClock(), lambda: "policy")
    before = REGISTRY.get_sample_value("identity_unknown_keys_total") or 0.0
    for key_id in ("key-1", "key-2", "key-1"):
        unknown.record(Caller("acme", "mallory", (), (), key_id, "secret token"))
    await unknown.close()
    found = await entries(postgres)
    assert (REGISTRY.get_sample_value("identity_unknown_keys_total") or 0.0) - before == 3
    assert [(tenant, entry.action, entry.resource_id, entry.subject, entry.reason) for tenant, entry in found] == [
        ("", "api_key.use", key_id, "mallory", "tenant acme has no such key") for key_id in ("key-1", "key-2")
    ]
    assert all(entry.decision == AUDIT_DECISION_DENIED for _, entry in found)


async def test_flood_of_keys_that_do_not_exist_is_counted_and_waits_in_bounds(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_key_auditor, "LIMIT", 2)
    unknown = UnknownKeyAuditor(auditor("probe"), postgres, SystemClock(), lambda: "policy")
    for place in range(5):
        unknown.record(Caller("acme", "mallory", (), (), f"key-{place}", ""))
    await unknown.close()
    assert len(await entries(postgres)) == 2
