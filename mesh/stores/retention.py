"""Removes rows that are old enough, in small steps that may stop anywhere and be made twice.

A table that is partitioned by month loses whole partitions once every row in them is older than the longest period of
any tenant; rows of tenants with a shorter period, and rows of other tables, go in chunks. Each chunk and each partition
is one transaction that starts with an advisory lock, so that of several members only one works at a time, and a crash
leaves none half done.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg

from mesh.logging import exc_info_if_unexpected
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from mesh.clock import Clock
    from mesh.stores.postgres import Postgres

CHUNK = 500
MONTHS_AHEAD = 3
_WHOLE_TIMEOUT_S = 600.0
"""Time limit of what cannot be made smaller: a partition, or a single thing."""
_FINISHED = """
INSERT INTO retention_runs AS r (task, finished_at) VALUES ($1, $2)
ON CONFLICT (task) DO UPDATE SET finished_at = greatest(r.finished_at, excluded.finished_at)
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetentionPeriods:
    """For how many days rows are kept: the platform's period, and those of tenants that have their own."""

    days: int
    days_by_tenant: Mapping[str, int] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """The longest of all."""
        return max(self.days, *self.days_by_tenant.values()) if self.days_by_tenant else self.days


@dataclass(frozen=True)
class DeletionCutoff:
    """Rows older than `before` go: those of `tenants` if they are given, else of all but `others`.

    With `default_partition_only` merely those in the default partition.
    """

    before: datetime
    tenants: tuple[str, ...] | None = None
    others: tuple[str, ...] = ()
    default_partition_only: bool = False


@dataclass(frozen=True)
class RetentionRule:
    """How one table is kept short.

    `chunk` deletes things (a row, or all rows of a job) that are older than $3, of the tenants $1 when they are given
    and not of the tenants $2, and gives how many rows went; $5 limits it to rows of the default partition. $4 limits
    its work: it deletes one thing at least if there is one, and with 1 no other. `partitioned`: the table is
    partitioned by month. `period` names the retention period. `resumes_by_tenant`: the chunk also gives the tenant that
    it ended with, and gets it back as $6.
    """

    table: str
    period: str
    chunk: str = ""
    partitioned: bool = False
    resumes_by_tenant: bool = False


@dataclass(frozen=True)
class MaintenanceTask:
    """A table with an upkeep of its own, such as one that nobody may delete from.

    `run` is given the moment of the run and that before which every row may go, makes what is to be made ahead, and
    gives how many rows went. It may be called by several members at once.
    """

    table: str
    period: str
    run: Callable[[datetime, datetime], Awaitable[int]]


def deletion_cutoffs(periods: RetentionPeriods, now: datetime, *, partitioned: bool) -> list[DeletionCutoff]:
    """What is to be deleted by rows.

    Of a `partitioned` table, rows that reach the longest period go with their partition; only those of the default
    partition are deleted one by one.
    """
    groups: dict[int, list[str]] = {}
    for tenant, days in sorted(periods.days_by_tenant.items()):
        groups.setdefault(days, []).append(tenant)
    own = tuple(sorted(periods.days_by_tenant))

    def cutoff(days: int, **whose: tuple[str, ...]) -> DeletionCutoff:
        return DeletionCutoff(
            now - timedelta(days=days), **whose, default_partition_only=partitioned and days == periods.longest
        )

    return [
        cutoff(periods.days, others=own),
        *(cutoff(days, tenants=tuple(group)) for days, group in sorted(groups.items())),
    ]


class _LockHeldError(Exception):
    """Another member is at work."""


class _TooLongError(Exception):
    """A statement was ended by its time limit."""


class Retention:
    """Keeps the tables of one schema short. `periods` gives the periods of the day by their keys."""

    def __init__(
        self,
        postgres: Postgres,
        rules: Sequence[RetentionRule | MaintenanceTask],
        periods: Callable[[], Awaitable[Mapping[str, RetentionPeriods]]],
        clock: Clock,
        *,
        every: timedelta = timedelta(days=1),
        check_every: timedelta = timedelta(hours=1),
    ) -> None:
        self._postgres = postgres
        self._rules = tuple(rules)
        self._periods = periods
        self._clock = clock
        self._every = every
        self._check_every = check_every
        self._removed = counter("retention_rows_removed_total", "Rows removed because they were old.", ("table",))
        self._failures = counter(
            "retention_failures_total", "Tables that a run of retention left as they were.", ("table",)
        )

    async def run_daily(self) -> None:
        """Run once a day, for ever; looks every hour whether a run is due."""
        while True:
            if await self.is_due():
                await self.run()
            await self._clock.sleep(self._check_every.total_seconds())

    async def is_due(self) -> bool:
        """Whether no run of any member has come to its end within a day."""
        async with self._postgres.transaction(SYSTEM) as connection:
            last = await connection.fetchval("SELECT finished_at FROM retention_runs WHERE task = 'retention'")
        return last is None or self._clock.now() - last >= self._every

    async def run(self) -> Mapping[str, int]:
        """Make one run; gives the rows removed by table. Ends early, without an error, when another member is at work.

        A table that cannot be cleared now is counted and left to the next run.
        """
        now = self._clock.now()
        removed: dict[str, int] = {}
        whole = True
        try:
            periods = await self._periods()
            for rule in self._rules:
                whole &= await self._clear(rule, periods[rule.period], now, removed)
            if whole:
                async with self._postgres.transaction(SYSTEM) as connection:
                    await connection.execute(_FINISHED, "retention", now)
        except _LockHeldError:
            _log.info("retention of %s is left to the member that is at work", self._postgres.schema)
        return removed

    async def _clear(
        self, rule: RetentionRule | MaintenanceTask, periods: RetentionPeriods, now: datetime, removed: dict[str, int]
    ) -> bool:
        """Whether all of it was done; what fails keeps neither the other tenants of the table nor other tables long."""
        whole = True
        for steps in self._independent_steps(rule, periods, now):
            try:
                async for rows in steps:
                    removed[rule.table] = removed.get(rule.table, 0) + rows
                    self._removed.labels(rule.table).inc(rows)
            except _LockHeldError:
                raise
            except Exception as error:  # noqa: BLE001 - the next run tries again
                _log.warning("retention left rows of %s: %s", rule.table, error, exc_info=exc_info_if_unexpected(error))
                whole = False
        if not whole:
            self._failures.labels(rule.table).inc()
        return whole

    def _independent_steps(
        self, rule: RetentionRule | MaintenanceTask, periods: RetentionPeriods, now: datetime
    ) -> Iterator[AsyncIterator[int]]:
        """Work that is done whether or not other work on the table fails: the rows removed by each transaction."""
        before = now - timedelta(days=periods.longest)
        if isinstance(rule, MaintenanceTask):
            yield self._run_task(rule, now, before)
            return
        if rule.partitioned:
            yield self._partitions(rule.table, now, before)
        for cutoff in deletion_cutoffs(periods, now, partitioned=rule.partitioned) if rule.chunk else ():
            yield self._delete(rule, cutoff)

    async def _run_task(self, task: MaintenanceTask, now: datetime, before: datetime) -> AsyncIterator[int]:
        if rows := await task.run(now, before):
            yield rows

    async def _partitions(self, table: str, now: datetime, before: datetime) -> AsyncIterator[int]:
        await self._create_partitions(table, now)
        async for rows in self._drop_partitions(table, before):
            yield rows

    async def _create_partitions(self, table: str, now: datetime) -> None:
        async with self._postgres.transaction(SYSTEM) as connection:
            await self._take_lock(connection)
            await connection.execute("SELECT soma_month_partitions($1, $2, $3)", table, MONTHS_AHEAD, now.date())

    async def _drop_partitions(self, table: str, before: datetime) -> AsyncIterator[int]:
        rows: int | None = 0
        while rows is not None:
            async with self._postgres.transaction(SYSTEM) as connection:
                await self._take_lock(connection)
                rows = await connection.fetchval(
                    "SELECT soma_drop_month($1, $2)", table, before, timeout=_WHOLE_TIMEOUT_S
                )
            if rows:
                yield rows

    async def _delete(self, rule: RetentionRule, cutoff: DeletionCutoff) -> AsyncIterator[int]:
        size, last = CHUNK, ""
        while True:
            try:
                rows, last = await self._delete_chunk(rule, cutoff, size, last)
            except _TooLongError as error:
                if size == 1:
                    raise
                size //= 2
                _log.info("retention of %s goes on with chunks of %d: %s", rule.table, size, error)
                continue
            if not rows:
                return
            size = min(CHUNK, size + max(1, size // 8))  # slowly: one that is too large takes its whole time limit
            yield rows

    async def _delete_chunk(self, rule: RetentionRule, cutoff: DeletionCutoff, size: int, last: str) -> tuple[int, str]:
        """The number of rows that went, and the tenant to go on with."""
        tenants = list(cutoff.tenants) if cutoff.tenants is not None else None
        given = (
            tenants,
            list(cutoff.others),
            cutoff.before,
            size,
            cutoff.default_partition_only,
            *([last] if rule.resumes_by_tenant else []),
        )
        async with self._postgres.transaction(SYSTEM) as connection:
            await self._take_lock(connection)
            try:
                row = await connection.fetchrow(rule.chunk, *given, timeout=_WHOLE_TIMEOUT_S if size == 1 else None)
            except (TimeoutError, asyncpg.QueryCanceledError) as error:
                raise _TooLongError(f"a chunk of {size} takes longer than a statement may") from error
        return row[0], row[1] if rule.resumes_by_tenant else last

    async def _take_lock(self, connection: asyncpg.Connection) -> None:
        """Take the lock of the schema's retention for this transaction."""
        taken = "SELECT pg_try_advisory_xact_lock(hashtext('soma.retention'), hashtext($1))"
        if not await connection.fetchval(taken, self._postgres.schema):
            raise _LockHeldError
