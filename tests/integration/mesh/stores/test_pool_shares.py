"""The connections of a pool in fair shares: nobody waits behind all that one tenant wants."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings

    Database = Callable[..., Awaitable[PostgresSettings]]

HOSTILE_WAITING = 300


class Load:
    """Transactions that many tenants want, in the order in which they began."""

    def __init__(self, store: Postgres) -> None:
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []
        self.began: list[str] = []

    def want(self, tenant: str, times: int = 1) -> None:
        """Ask for transactions of a tenant."""
        self._tasks += [asyncio.create_task(self._one(tenant)) for _ in range(times)]

    async def _one(self, tenant: str) -> None:
        async with self._store.transaction(tenant):
            self.began.append(tenant)

    async def wait_for(self, number: int) -> None:
        """Wait until so many transactions wait."""

        async def waiting() -> bool:
            return self._store._slots.waiting == number

        await eventually(waiting)

    async def end(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def held(store: Postgres, *tenants: str) -> AsyncIterator[None]:
    """Hold one transaction for each of these."""
    async with AsyncExitStack() as stack:
        for tenant in tenants:
            await stack.enter_async_context(store.transaction(tenant))
        yield


async def test_a_transaction_begins_after_few_of_a_tenant_who_wants_hundreds(database: Database) -> None:
    async with Postgres.open(await database("probe", pool_max=10)) as store:
        load = Load(store)
        async with held(store, *["hostile"] * 8, "x"):
            load.want("hostile", HOSTILE_WAITING)
            await load.wait_for(HOSTILE_WAITING)
            async with held(store, SYSTEM):
                load.want("innocent")
                load.want(SYSTEM)
                await load.wait_for(HOSTILE_WAITING + 2)
        await load.end()
    assert load.began.index("innocent") <= 10
    assert load.began.index(SYSTEM) <= 10
    assert len(load.began) == HOSTILE_WAITING + 2


async def test_one_tenant_leaves_connections_to_others(database: Database) -> None:
    async with Postgres.open(await database("probe")) as store:
        load = Load(store)
        async with held(store, *["hostile"] * 6):
            load.want("hostile", 10)
            await load.wait_for(10)
            async with held(store, "innocent"):
                assert load.began == []
        await load.end()


async def test_tenants_leave_a_connection_to_the_system(database: Database) -> None:
    async with Postgres.open(await database("probe")) as store:
        load = Load(store)
        async with held(store, *"aaabbbc"):
            load.want("d", 10)
            await load.wait_for(10)
            async with held(store, SYSTEM):
                assert load.began == []
        await load.end()


async def test_whose_waiters_are_too_many_is_refused_and_nobody_else(database: Database) -> None:
    async with Postgres.open(await database("probe", pool_max=2)) as store:
        load = Load(store)
        async with held(store, "hostile", "hostile"):
            load.want("hostile", 64)
            await load.wait_for(64)
            with pytest.raises(SomaError) as refused:
                await load._one("hostile")
            load.want("innocent")
            await load.wait_for(65)
        await load.end()
    assert refused.value.reason is Reason.OVERLOADED
    assert load.began.index("innocent") <= 2


async def test_waiters_who_give_up_leave_nothing_behind(database: Database) -> None:
    async with Postgres.open(await database("probe", pool_max=2, acquire_timeout_s=0.3)) as store:
        load = Load(store)
        async with held(store, "a", "a"):
            refused = await asyncio.gather(*(load._one(tenant) for tenant in "aab"), return_exceptions=True)
        async with held(store, "a", "b"):
            assert store._slots.waiting == 0
        assert store._slots.in_use == 0
    assert {error.reason for error in refused if isinstance(error, SomaError)} == {Reason.OVERLOADED}
    assert load.began == []
