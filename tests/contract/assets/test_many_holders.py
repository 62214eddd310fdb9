"""An asset that thousands of jobs hold is erased at once, and its holders go some at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.stores.retention import Retention, RetentionPeriods
from svc_assets.adapters.postgres import RETENTION_RULES
from svc_assets.adapters.postgres.holders import HOLDER_BATCH_SIZE
from svc_assets.app.reconcile import RETRY_AFTER_S
from svc_assets.domain.model import ListQuery, Origin, Status
from tests.contract.assets.faults import outage
from tests.contract.assets.store import DAY_S, Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mesh.stores.postgres import Postgres
    from svc_assets.domain.model import Asset

MANY = 5_000
MAKER = Origin(job_id="maker")
LAST = "shared999"
"""The holder that sorts after all others, and is removed last."""
_HOLD = """
INSERT INTO asset_holders (tenant_id, asset_id, holder, subject)
SELECT 'acme', $1::text::uuid, 'shared' || i, 'alice' FROM generate_series(1, $2) AS i
"""
_HOLDERS = """
SELECT a.holders, (SELECT count(*) FROM asset_holders h WHERE h.asset_id = a.asset_id) AS counted
FROM multimodal_assets a WHERE a.asset_id = $1::text::uuid
"""
_TOMBSTONED = "SELECT count(*) FROM outbox WHERE type LIKE '%.AssetTombstoned'"


async def much_used(store: Store, postgres: Postgres, body: bytes = b"much used") -> Asset:
    """An asset with `MANY` holders beside the job that made it."""
    asset = await store.put(body, origin=MAKER, request_id="made" + body.decode())
    async with postgres.transaction("acme") as connection:
        await connection.execute(_HOLD, asset.asset_id, MANY)
    return asset


async def erased(store: Store, asset: Asset) -> Asset:
    return await store.assets.erase("acme", asset.asset_id, "asked for")


async def holders(postgres: Postgres, asset: Asset) -> int:
    """The holders that are there, which are as many as their number says."""
    async with postgres.transaction("acme") as connection:
        row = await connection.fetchrow(_HOLDERS, asset.asset_id)
    assert row["holders"] == row["counted"]
    return int(row["counted"])


async def test_an_erasure_removes_some_holders_and_the_sweep_the_others(store: Store, postgres: Postgres) -> None:
    """Regression: all were removed in one statement, which beyond some hundred thousand never came to its end."""
    asset = await much_used(store, postgres)
    assert (await erased(store, asset)).status is Status.TOMBSTONED
    assert await holders(postgres, asset) == MANY + 1 - HOLDER_BATCH_SIZE
    assert await store.reconciler.sweep_holders() == MANY // HOLDER_BATCH_SIZE
    assert await holders(postgres, asset) == 0
    assert await store.reconciler.sweep_holders() == 0


async def test_each_removal_takes_no_more_than_its_portion(store: Store, postgres: Postgres) -> None:
    gone = await erased(store, await much_used(store, postgres))
    left = await holders(postgres, gone)
    await store.rows.remove_holders(gone, store.clock.now())
    assert await holders(postgres, gone) == left - HOLDER_BATCH_SIZE


async def test_nobody_sees_the_holders_that_an_erased_asset_has_left(store: Store, postgres: Postgres) -> None:
    asset = await much_used(store, postgres)
    gone = await erased(store, asset)
    assert gone.reference_count == 0
    assert await store.assets.get("acme", asset.asset_id) == gone
    holds = ListQuery(job_id=LAST, include_tombstoned=True)
    for query in (holds, replace(holds, only_held=True), replace(holds, job_id=MAKER.job_id, only_held=True)):
        assert list(await store.rows.list("acme", query)) == []
    assert list(await store.rows.list("acme", replace(holds, job_id=MAKER.job_id))) == [gone]
    with pytest.raises(SomaError) as unreadable:
        await store.read(asset)
    assert unreadable.value.reason is Reason.FAILED_PRECONDITION


async def test_the_same_bytes_may_come_again_while_holders_are_left(store: Store, postgres: Postgres) -> None:
    asset = await much_used(store, postgres)
    await erased(store, asset)
    again = await store.put(b"much used", origin=Origin(job_id=LAST))
    assert again.asset_id != asset.asset_id
    await store.reconciler.sweep_holders()
    assert await holders(postgres, again) == 1


async def test_repeating_an_erasure_changes_nothing(store: Store, postgres: Postgres) -> None:
    asset = await much_used(store, postgres)
    gone = await erased(store, asset)
    left = await holders(postgres, asset)
    assert await erased(store, asset) == gone
    assert await store.delete(asset, job_id=LAST) == gone
    assert await holders(postgres, asset) == left
    await store.reconciler.sweep_holders()
    assert await erased(store, asset) == gone
    async with postgres.transaction("acme") as connection:
        assert await connection.fetchval(_TOMBSTONED) == 1


class Failing:
    """Rows that do not remove the holders of one asset."""

    def __init__(self, store: Store, asset: Asset) -> None:
        self._rows, self._failing = store.rows, asset.asset_id

    def __getattr__(self, name: str) -> object:
        return getattr(self._rows, name)

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        if asset.asset_id == self._failing:
            raise outage()
        await self._rows.remove_holders(asset, now)


async def test_a_removal_that_fails_holds_up_no_other_and_is_tried_later(store: Store, postgres: Postgres) -> None:
    first, second = await much_used(store, postgres, b"one"), await much_used(store, postgres, b"two")
    await erased(store, first)
    await store.clock.advance(1)
    await erased(store, second)
    await replace(store, rows=Failing(store, first)).reconciler.sweep_holders()  # type: ignore[arg-type]
    assert await holders(postgres, first) > 0
    assert await holders(postgres, second) == 0
    await store.clock.advance(RETRY_AFTER_S)
    await store.reconciler.sweep_holders()
    assert await holders(postgres, first) == 0


async def test_the_record_of_an_erased_asset_stays_until_its_holders_are_removed(
    store: Store, postgres: Postgres
) -> None:
    async def retention_periods() -> Mapping[str, RetentionPeriods]:
        return {"requests": RetentionPeriods(1_000), "tombstones": RetentionPeriods(400)}

    retention = Retention(postgres, RETENTION_RULES, retention_periods, store.clock)
    gone = await erased(store, await much_used(store, postgres))
    await store.clock.advance(401 * DAY_S)
    await retention.run()
    assert await store.rows.get("acme", gone.asset_id) == gone
    await store.reconciler.sweep_holders()
    await retention.run()
    assert await store.rows.get("acme", gone.asset_id) is None
