"""Asks the mesh afterwards what came of the messages: over REST, as anybody may, and its stores whether all is done."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from mesh.contexts import named
from mesh.stores.postgres import SYSTEM
from soma_local.databases import MIGRATOR, dsn_of
from soma_local.engines import PostgresEngine
from tests.chaos.contexts.messages.clients import JOBS
from tests.chaos.contexts.messages.facts import ACTION, HANGS, SOURCE_CONTEXTS
from tests.chaos.contexts.messages.ledger import DeadLetterFound, Entry, Findings, JobFound, RecordFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    import httpx

    from mesh.clock import Clock
    from tests.e2e.conftest import RunningMesh

GROUP = "provenance"
_TAKEN = [topic for context in named([GROUP]) for topic in context.consumes]
_PAGE = 500
_AT_ONCE = 8
_TRIES = 30
_NOT_FOUND, _SERVER_ERROR = 404, 500
_PENDING = " + ".join(
    f"(SELECT count(*) FROM {source_context}.outbox o "
    f"WHERE o.dlq_id = '' AND (o.sent_at IS NULL OR o.topic = ANY($2) AND "
    f"NOT EXISTS (SELECT FROM provenance.inbox i WHERE (i.consumer_group, i.event_id) = ($1, o.event_id::text))))"
    for source_context in SOURCE_CONTEXTS
)
_MARKED = "SELECT count(*) FROM provenance.inbox WHERE consumer_group = $1 AND event_id = ANY($2)"
_HANG = """
CREATE FUNCTION provenance.messages_hang() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(15);
    RETURN NEW;
END
$$;
CREATE TRIGGER messages_hang BEFORE INSERT ON provenance.asset_provenance
    FOR EACH ROW WHEN (NEW.asset_type = 'hangs') EXECUTE FUNCTION provenance.messages_hang();
"""


class Stores:
    """The database of a mesh, as the owner of all schemas."""

    def __init__(self, mesh: RunningMesh) -> None:
        self._mesh = mesh

    @asynccontextmanager
    async def open(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction over all tenants."""
        port = urlsplit(self._mesh.variable("SA01_PROVENANCE_POSTGRES_DSN")).port or 0
        engine = PostgresEngine(self._mesh.home, port)
        connection = await asyncpg.connect(dsn_of(self._mesh.home, engine, MIGRATOR), timeout=10, command_timeout=30)
        try:
            async with connection.transaction():
                await connection.execute("SELECT set_config('soma.tenant_id', $1, true)", SYSTEM)
                yield connection
        finally:
            await connection.close()

    async def pending(self, on_bus: Sequence[str]) -> int:
        """Events that the record has not taken in yet: unsent, unapplied, and those that were put onto the bus."""
        async with self.open() as connection:
            marked = await connection.fetchval(_MARKED, GROUP, on_bus)
            return int(len(on_bus) - marked + await connection.fetchval(f"SELECT {_PENDING}", GROUP, _TAKEN))

    async def plant_hang(self) -> None:
        """Let nobody keep an asset of the type that hangs."""
        async with self.open() as connection:
            await connection.execute(_HANG)

    async def mark(self, event_id: str) -> None:
        """A planted bug: an event that is marked as applied, and was not."""
        async with self.open() as connection:
            await connection.execute(
                "INSERT INTO provenance.inbox (consumer_group, event_id) VALUES ($1, $2)", GROUP, event_id
            )


class MeshReader:
    """Reads everything that belongs to a tenant, and what belongs to no tenant since now."""

    def __init__(self, api: httpx.AsyncClient, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._began_at = clock.now()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def receipts(self) -> Counter[str]:
        """Receipts, counted by job."""
        return Counter([item["job_id"] async for item in self._pages("/v1/admin/receipts", "receipts")])

    async def findings(self, hanging: Iterable[str]) -> Findings:
        """All that there is; `hanging` are assets that must not be in the record."""
        receipts = await self.receipts()
        listed = [job async for job in self._pages(JOBS, "jobs")]
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(self._job(job["job_id"], receipts)) for job in listed]
            entries = group.create_task(self._entries(hanging))
            dead_letters = group.create_task(self._dead_letters({job["job_id"]: job["title"] for job in listed}))
        return Findings([task.result() for task in reading], entries.result(), dead_letters.result())

    async def intact(self) -> bool:
        """Whether the chain of audit entries is whole."""
        answer = await self._api.post("/v1/admin/audit:verify", json={})
        return bool(answer.raise_for_status().json()["intact"])

    async def _job(self, job_id: str, receipts: Mapping[str, int]) -> JobFound:
        async with self._slots:
            described = await self._read(f"{JOBS}/{job_id}/describe") or {}
            trace = await self._read(f"/v1/traces/{job_id}")
            assets = await self._read("/v1/multimodal/assets", job_id=job_id) or {}
        job, events = described["job"], described["events"]
        made = Counter(each["step_id"] for each in described["executions"] if each["status"].endswith("_SUCCEEDED"))
        state = job["state"].removeprefix("JOB_STATE_")
        return JobFound(
            job_id=job_id,
            message_id=job["title"],
            state=state,
            ended=state not in {"PENDING", "RUNNING"},
            sequences=tuple(int(event["sequence"]) for event in events),
            terminals=sum(event["terminal"] for event in events),
            results={step["step_id"]: made[step["step_id"]] for step in job["steps"]},
            named=tuple(asset_id for step in job["steps"] for asset_id in step["asset_ids"]),
            stored=tuple(asset["asset_id"] for asset in assets["assets"]),
            record=_recorded(trace, receipts[job_id]) if trace is not None else None,
        )

    async def _entries(self, hanging: Iterable[str]) -> list[Entry]:
        """Facts that were applied."""
        found = [
            Entry(entry["record"]["resource_id"], f"entry {entry['sequence']}")
            async for entry in self._pages("/v1/admin/audit", "audit_events", action=ACTION)
        ]
        kept = {asset_id: await self._read(f"/v1/multimodal/provenance/{asset_id}") for asset_id in hanging}
        return found + [Entry(asset_id, HANGS) for asset_id, asset in kept.items() if asset is not None]

    async def _dead_letters(self, titles: Mapping[str, str]) -> list[DeadLetterFound]:
        """Dead letters of the tenant, and of nobody: what is no event has no tenant. A job's are told by its title."""
        own = [dead_letter async for dead_letter in self._pages("/v1/admin/dlq", "dead_letters")]
        all_nobodys = self._pages("/v1/admin/dlq", "dead_letters", platform="true")
        nobodys = [
            dead_letter async for dead_letter in all_nobodys if dead_letter["create_time"] >= f"{self._began_at:%FT%TZ}"
        ]
        found = []
        for dead_letter in (*own, *nobodys):
            about = dead_letter["correlation_id"] or dead_letter["event_id"]
            cause = dead_letter["cause"].removeprefix("DEAD_LETTER_CAUSE_")
            found.append(DeadLetterFound(titles.get(about, about), f"letter {dead_letter['dlq_id']}", cause))
        return found

    async def _pages(self, path: str, field: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        token = ""
        while True:
            page = await self._read(path, **query, page_size=str(_PAGE), page_token=token)
            assert page is not None, path
            for item in page[field]:
                yield item
            token = page["next_page_token"]
            if not token:
                return

    async def _read(self, path: str, **query: str) -> dict[str, Any] | None:
        """An answer, asked for again while the mesh says to come later; None for what is not known."""
        answer = await self._api.get(path, params=query)
        for _ in range(_TRIES):
            if answer.status_code < _SERVER_ERROR:
                break
            await self._clock.sleep(float(answer.headers.get("retry-after", "1")))
            answer = await self._api.get(path, params=query)
        if answer.status_code == _NOT_FOUND:
            return None
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found


def _recorded(trace: Mapping[str, Any], receipts: int) -> RecordFound:
    attempts = [attempt for step in trace["steps"] for attempt in step["attempts"]]
    return RecordFound(
        state=trace["job"]["state"].removeprefix("JOB_STATE_"),
        complete=trace["complete"],
        executions=tuple(each["execution"]["execution_id"] for each in attempts if each.get("execution")),
        receipts=receipts,
    )
