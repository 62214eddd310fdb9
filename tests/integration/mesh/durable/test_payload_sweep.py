"""Stored payloads go once no history can refer to them, and not before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from temporalio.api.common.v1 import Payload

from mesh import durable
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.stores.blobs import BlobInfo
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.settings import TemporalSettings
    from mesh.stores.blobs import Blobs

NOW = datetime(2026, 7, 10, 12, tzinfo=UTC)
LARGE = Payload(data=b"x" * 100_000)
DAY = timedelta(days=1)


@pytest.fixture
async def store() -> AsyncIterator[Blobs]:
    async with blobs.open(BlobSettings(url="memory:///")) as opened:
        yield opened


class Listed:
    """Blobs with times of their own. Deleting those of `stuck` fails."""

    def __init__(self, entries: dict[str, datetime], stuck: frozenset[str] = frozenset()) -> None:
        self.entries = entries
        self._stuck = stuck

    async def pages(self, after: str = "", size: int = 500, *, prefix: str = "") -> AsyncIterator[Sequence[BlobInfo]]:
        """Below a prefix, in parts."""
        found = [BlobInfo(key, 1, at) for key, at in self.entries.items() if key.startswith(f"{prefix}/")]
        for start in range(0, len(found), size):
            yield found[start : start + size]

    async def delete(self, key: str) -> None:
        """Remove one."""
        if key in self._stuck:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "it is stuck")
        self.entries.pop(key, None)


def sweep_of(store: Listed | Blobs, kept: timedelta = DAY) -> durable.PayloadSweep:
    async def answer() -> timedelta:
        return kept

    return durable.PayloadSweep(store, answer)


def stored(**ages: int) -> dict[str, datetime]:
    """A payload for each name, stored so many days ago."""
    moments = {name: NOW - days * DAY for name, days in ages.items()}
    return {f"workflows/{at:%Y%m%d}/owner/{name}": at for name, at in moments.items()}


async def left(listed: Listed, days: int, kept: timedelta = DAY) -> set[str]:
    """The names of what a sweep with a term of so many days leaves."""
    await sweep_of(listed, kept)(NOW, NOW - days * DAY)
    return {key.rpartition("/")[2] for key in listed.entries}


async def test_what_is_older_than_the_term_goes() -> None:
    assert await left(Listed(stored(old=31, young=29)), 30) == {"young"}


async def test_what_a_history_may_still_refer_to_stays() -> None:
    assert await left(Listed(stored(old=63, needed=61)), 30, 60 * DAY) == {"needed"}


async def test_where_histories_are_kept_for_ever_nothing_goes() -> None:
    assert await left(Listed(stored(old=1_000)), 30, timedelta(0)) == {"old"}


async def test_payloads_of_older_releases_go_by_their_age() -> None:
    ages = {"workflows/owner/old": NOW - 31 * DAY, "workflows/owner/young": NOW - 29 * DAY}
    assert await left(Listed(ages), 30) == {"young"}


async def test_nothing_else_in_the_store_goes() -> None:
    assert await left(Listed({"acme/asset": NOW - 99 * DAY, "workflowsx/y": NOW - 99 * DAY}), 30) == {"asset", "y"}


async def test_one_that_cannot_be_removed_keeps_no_other_and_is_reported() -> None:
    entries = stored(stuck=40, old=39)
    listed = Listed(entries, frozenset(key for key in entries if key.endswith("stuck")))
    with pytest.raises(SomaError, match="stuck"):
        await sweep_of(listed)(NOW, NOW - 30 * DAY)
    assert [key.rpartition("/")[2] for key in listed.entries] == ["stuck"]


async def test_several_members_at_once_remove_what_is_old(store: Blobs) -> None:
    clock = FakeClock(NOW)
    for number in range(1_200):
        await durable.ClaimCheck(store, 10, clock=clock).encode([Payload(data=f"payload {number}".encode())])
    assert len([key async for key in store.list("workflows")]) == 1_200
    later = SystemClock().now() + 40 * DAY
    sweep = sweep_of(store)
    await asyncio.gather(*(sweep(later, later - 30 * DAY) for _ in range(3)))
    assert [key async for key in store.list("workflows")] == []


async def test_what_is_used_again_is_stored_anew_where_no_sweep_looks(store: Blobs) -> None:
    now = SystemClock().now()
    month_ago, tomorrow = FakeClock(now - 40 * DAY), FakeClock(now + DAY)
    await durable.ClaimCheck(store, workflow_id="w", clock=month_ago).encode([LARGE])
    again = durable.ClaimCheck(store, workflow_id="w", clock=tomorrow)
    claims = await again.encode([LARGE])
    later = now + timedelta(hours=1)
    assert await sweep_of(store, timedelta(seconds=1))(later + 5 * DAY, later) == 1
    assert await again.decode(claims) == [LARGE]


async def test_temporal_says_for_how_long_it_keeps_histories(temporal_settings: TemporalSettings) -> None:
    async with durable.client(temporal_settings) as client:
        assert await durable.history_retention(client) > timedelta(0)
