"""Reads of assets reach the audit chain in batches: who read what, when and how often."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.lifecycle import background
from mesh.stores.postgres import Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor, entries
from mesh.testing.contract import eventually
from mesh.testing.tokens import ALICE, acting_as
from svc_assets.adapters.postgres import read_audit
from svc_assets.adapters.postgres.read_audit import PostgresReadAudit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.conftest import Database

BOB = replace(ALICE, subject="bob")


class Unreliable(Postgres):
    """Commits nothing while it is told to, or commits without an answer."""

    is_away = False
    is_answer_lost = False

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        async with super().transaction(tenant_id) as connection:
            yield connection
            if self.is_away:
                raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        if self.is_answer_lost:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the answer was lost")


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Unreliable]:
    async with Unreliable.open(await database("assets")) as opened:
        assert isinstance(opened, Unreliable)
        yield opened


def reads(postgres: Postgres, clock: FakeClock) -> PostgresReadAudit:
    return PostgresReadAudit(auditor("assets"), postgres, clock, lambda: "policy-1", every_s=5.0)


async def written(postgres: Postgres) -> list[tuple[str, str, str]]:
    found = await entries(postgres)
    return [(entry.subject, entry.resource_id, entry.reason) for _, entry in found]


async def test_reads_are_counted_by_caller_and_thing(postgres: Unreliable) -> None:
    clock = FakeClock()
    log = reads(postgres, clock)
    for claims, asset_id in ((ALICE, "a"), (ALICE, "a"), (BOB, "a"), (ALICE, "b")):
        with acting_as(claims):
            log.record("asset", asset_id)
        await clock.advance(1)
    assert await written(postgres) == []
    await log.flush()
    assert await written(postgres) == [
        ("alice", "a", "read 2 times from 2026-01-01T00:00:00+00:00 to 2026-01-01T00:00:01+00:00"),
        ("bob", "a", "read 1 times from 2026-01-01T00:00:02+00:00 to 2026-01-01T00:00:02+00:00"),
        ("alice", "b", "read 1 times from 2026-01-01T00:00:03+00:00 to 2026-01-01T00:00:03+00:00"),
    ]
    [(tenant, entry), *_] = await entries(postgres)
    assert (tenant, entry.action, entry.resource_type, entry.policy_id) == ("acme", "asset.read", "asset", "policy-1")


@pytest.mark.parametrize("failure", ["is_away", "is_answer_lost"])
async def test_a_batch_that_may_be_written_waits_and_each_read_is_told_once(postgres: Unreliable, failure: str) -> None:
    log = reads(postgres, FakeClock())
    with acting_as():
        for _ in range(2):
            log.record("asset", "a")
        setattr(postgres, failure, True)
        with pytest.raises(SomaError):
            await log.flush()
        log.record("asset", "a")
    setattr(postgres, failure, False)
    await log.flush()
    assert [reason[:12] for _, _, reason in await written(postgres)] == ["read 2 times", "read 1 times"]


async def test_nothing_is_lost_at_shutdown(postgres: Unreliable) -> None:
    log = reads(postgres, FakeClock())
    with acting_as():
        for number in range(read_audit.BATCH_SIZE + 1):
            log.record("asset", str(number))
    await log.close()
    assert len(await written(postgres)) == read_audit.BATCH_SIZE + 1


async def test_reads_beyond_the_bound_are_dropped_and_told(
    postgres: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_audit, "MAX_PENDING", 2)
    log = reads(postgres, FakeClock())
    with acting_as():
        for asset_id in ("a", "b", "c", "a"):
            log.record("asset", asset_id)
    assert await log.check_dropped() == "1 reads were not audited"
    await log.flush()
    assert [(asset_id, reason[:7]) for _, asset_id, reason in await written(postgres)] == [
        ("a", "read 2 "),
        ("b", "read 1 "),
    ]
    assert await log.check_dropped() == ""


async def test_batches_are_written_now_and_then(postgres: Unreliable) -> None:

    clock = FakeClock()
    log = reads(postgres, clock)
    async with background(log.run, "reads", clock=clock):
        assert await clock.sleeper() == 5.0
        with acting_as():
            log.record("asset", "a")
        await clock.advance(5)

        async def is_written() -> bool:
            return len(await written(postgres)) == 1

        await eventually(is_written)
