"""Postgres: a bounded pool whose every transaction belongs to one tenant."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from mesh import context, telemetry
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.fairness import FairSlots
from mesh.stores.failures import DRIVER_FAILURES, RETRY_AFTER_S, is_connection_failure, translate_errors, unavailable
from mesh.stores.listening import Listener
from mesh.stores.migrations import migrate, rollback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mesh.clock import Clock
    from mesh.settings import PostgresSettings

__all__ = ["SYSTEM", "Postgres", "is_connection_failure", "migrate", "rollback"]

SYSTEM = "*"
_COMMAND_TIMEOUT_S = 30.0
_log = logging.getLogger(__name__)
_PING_TIMEOUT_S = 2.0
_WAITERS_PER_CONNECTION = 32
"""Transactions of one tenant that wait, for each connection of the pool."""
_TENANTS_WAITING = 8
"""Tenants that may have as many waiting at once: together more than the calls that a process serves."""
FORCE_INDEX_SCAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)
"""
"""Makes the planner walk an index for the rest of a transaction, all of whose statements have one that gives their rows
in order. It may else read and sort all rows to give the first few, where its statistics are older than they."""
_CLIENT_CHECK_INTERVAL = "2s"
"""How often the server looks, within a statement, whether its client is still there: a killed one's rows get free."""
_IDLE_IN_TRANSACTION_TIMEOUT = "60s"
"""How long a transaction may wait for its client's next statement: locks of a client whose host is lost get free. None
of ours waits for more than a relay's publishing, which ends after 30 s."""
_TCP_KEEPALIVES = {"tcp_keepalives_idle": "30s", "tcp_keepalives_interval": "10s", "tcp_keepalives_count": "3"}
"""With these a server knows after a minute that a client's host is lost, also within a statement."""


class Postgres:
    """A context's own schema, through its own role, under row-level security.

    A transaction carries its tenant as `soma.tenant_id`, which the policies of the tables compare with each row.
    """

    def __init__(self, pool: asyncpg.Pool, settings: PostgresSettings, clock: Clock) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._slots = _slots(settings.pool_max)
        self._last_answer_at = clock.monotonic()
        in_use = telemetry.gauge("db_pool_in_use", "Database connections lent out", ("context",))
        self._in_use = in_use.labels(settings.schema_name)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PostgresSettings, clock: Clock | None = None) -> AsyncIterator[Postgres]:
        """Open the pool and close it at the end, waiting for those who hold a connection."""
        with translate_errors():
            pool = await asyncpg.create_pool(
                settings.dsn.get_secret_value(),
                min_size=settings.pool_min,
                max_size=settings.pool_max,
                timeout=settings.acquire_timeout_s,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings=_session(settings),
                init=_prepare,
                reset=_skip_reset,
            )
        try:
            yield cls(pool, settings, clock or SystemClock())
        finally:
            await _close(pool)

    @property
    def schema(self) -> str:
        """The schema that unqualified names mean."""
        return self._settings.schema_name

    @property
    def in_use(self) -> int:
        """Connections lent out now."""
        return int(self._pool.get_size() - self._pool.get_idle_size())

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        """Run one transaction as a tenant: the caller's when none is named, every tenant's with `SYSTEM`.

        It takes a connection of that tenant's share: with `SYSTEM`, what one tenant asked for would hold up all others.
        Commits at the end, rolls back on any error. Keep model and network calls out of it. Raises OVERLOADED when no
        connection gets free in time, DEPENDENCY_UNAVAILABLE when the database does not answer (also when that is why
        none gets free), CONFLICT on a lost race.
        """
        tenant = _own_tenant() if tenant_id is None else tenant_id
        connection = await self._acquire(tenant)
        try:
            with translate_errors():
                async with connection.transaction():
                    await connection.execute("SELECT set_config('soma.tenant_id', $1, true)", tenant)
                    self._last_answer_at = self._clock.monotonic()
                    yield connection
            self._last_answer_at = self._clock.monotonic()
        finally:
            await self._release(connection, tenant)

    async def ping(self) -> None:
        """Ask the database for an answer; DEPENDENCY_UNAVAILABLE when there is none within two seconds."""
        connection = await self._acquire(SYSTEM)
        try:
            with translate_errors():
                await connection.fetchval("SELECT 1", timeout=_PING_TIMEOUT_S)
        finally:
            await self._release(connection, SYSTEM)

    @asynccontextmanager
    async def listen(self, channel: str, callback: Callable[[str], None]) -> AsyncIterator[None]:
        """Call back with the payload of each notification, on a connection of its own that is reopened when lost.

        Also calls back with an empty payload after each (re)connection, since notifications may have been missed.
        """
        listener = Listener(self._connect_outside_pool, channel, callback, self._clock)
        async with listener:
            yield

    async def _acquire(self, tenant: str) -> asyncpg.Connection:
        if not self._slots.try_acquire(tenant):
            await self._wait_for_slot(tenant)
        try:
            with translate_errors():
                connection = await self._pool.acquire(timeout=self._acquire_timeout_s())
        except BaseException as error:
            self._slots.release(tenant)
            if isinstance(error, SomaError) and self.in_use >= self._settings.pool_max:
                raise self._exhausted() from error.__cause__
            raise
        if self.in_use == 1:
            self._last_answer_at = self._clock.monotonic()  # nobody asked until now
        self._in_use.set(self.in_use)
        return connection

    async def _wait_for_slot(self, tenant: str) -> None:
        try:
            await self._slots.acquire(tenant, self._acquire_timeout_s())
        except SomaError as error:
            raise self._exhausted() from error

    async def _release(self, connection: asyncpg.Connection, tenant: str) -> None:
        try:
            await self._pool.release(connection, timeout=self._settings.acquire_timeout_s)
        except DRIVER_FAILURES as error:
            # What was committed stays committed, so this is nobody's failure: the pool drops it and opens another.
            _log.warning("a connection was lost while it was given back: %s", error)
        finally:
            self._slots.release(tenant)
            self._in_use.set(self.in_use)

    def _acquire_timeout_s(self) -> float:
        """Seconds to wait for a connection: never beyond the deadline of the request."""
        request = context.current()
        limit = self._settings.acquire_timeout_s
        if request is None or request.deadline is None:
            return limit
        return max(0.001, min(limit, request.deadline - self._clock.monotonic()))

    def _exhausted(self) -> SomaError:
        """Why no connection is free: too many want one, or those who have one get no answer."""
        return unavailable() if self._clock.monotonic() - self._last_answer_at > _PING_TIMEOUT_S else _overloaded()

    async def _connect_outside_pool(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._settings.dsn.get_secret_value(),
            timeout=self._settings.acquire_timeout_s,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings=_session(self._settings),
        )


def _slots(connections: int) -> FairSlots:
    """Connections in fair shares: three quarters at most for one tenant, and one of each eight for `SYSTEM` alone.

    Whose transactions wait take turns, tenant by tenant, so that one who wants many waits behind his own.
    """
    waiting = connections * _WAITERS_PER_CONNECTION
    return FairSlots(
        "the database",
        connections,
        per_tenant=connections - connections // 4,
        waiting_per_tenant=waiting,
        waiting=waiting * _TENANTS_WAITING,
        reserved=connections // 8,
        is_low_priority=lambda tenant: tenant != SYSTEM,
    )


def _session(settings: PostgresSettings) -> dict[str, str]:
    return {
        "search_path": f'"{settings.schema_name}", public',
        "application_name": f"soma-{settings.schema_name}",
        "timezone": "UTC",
        "client_connection_check_interval": _CLIENT_CHECK_INTERVAL,
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION_TIMEOUT,
        **_TCP_KEEPALIVES,
    }


def _own_tenant() -> str:
    tenant = context.caller().tenant_id
    if tenant in {"", SYSTEM}:
        raise SomaError(Reason.PERMISSION_DENIED, "The caller belongs to no tenant")
    return tenant


def _overloaded() -> SomaError:
    return SomaError(
        Reason.OVERLOADED,
        "Too many requests wait for the database; try again shortly",
        metadata={"component": "postgres"},
        retry_after_s=RETRY_AFTER_S,
    )


async def _prepare(connection: asyncpg.Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _skip_reset(_: asyncpg.Connection) -> None:
    """Save a round trip for each transaction: whatever one sets is local to it, so a session has nothing to lose."""


async def _close(pool: asyncpg.Pool) -> None:
    """Close in order; cut what does not end by itself."""
    try:
        await pool.close()
    except TimeoutError:
        pool.terminate()
