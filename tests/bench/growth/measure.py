"""Measures every call and every statement with empty tables and with full ones, in one run."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import grpc.aio

from mesh.clock import SystemClock
from mesh.identity import SERVICE_ROLE, SYSTEM_TENANT, Claims
from mesh.ids import SystemIds, rng
from mesh.local.engines import PostgresEngine
from mesh.rpc.access import changes
from svc_gateway.adapters.descriptors import Descriptors
from tests.bench.figures import percentile
from tests.bench.growth import statements
from tests.bench.growth.calls import ACTOR, CALLERS, CALLS, RUBRIC, STARTS_JOB, capability
from tests.bench.growth.filling import fill_all
from tests.bench.growth.quiet import quiet
from tests.bench.growth.world import DOCUMENT, PLAN, TENANT, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tests.bench.growth.statements import Statement
    from tests.bench.rig import Rig

CONTEXTS = ("gateway", "registry", "selector", "executor", "assets", "critic", "provenance")
ROLES = ("viewer", "member", "admin", "platform_admin")
WARM = 5
READ_CALLS, WRITE_CALLS = 5, 3
"""Calls of a method in each round, more if it only reads: the more there are, the less p95 varies by chance."""
WAIT_S = 60.0
POISON = """
INSERT INTO executor.outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                             correlation_id, traceparent)
VALUES ($1::text::uuid, $2, 'soma.events.v1.JobChanged', 'executor.events', $1::text, now(), '\\xffff', 1, '', $1, '')
"""


@dataclass
class Growth:
    """What was measured: seconds of each call with empty and with full tables, and the statements' costs."""

    empty: dict[str, list[float]] = field(default_factory=dict)
    full: dict[str, list[float]] = field(default_factory=dict)
    statements_empty: dict[tuple[str, int], Statement] = field(default_factory=dict)
    statements_full: dict[tuple[str, int], Statement] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    copied_from_nothing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def ratio(self, name: str) -> float:
        """p95 with full tables over p95 with empty ones; infinite for a call that failed."""
        if not (self.full.get(name) and self.empty.get(name)):
            return math.inf
        return percentile(self.full[name], 0.95) / percentile(self.empty[name], 0.95)


def owner_dsn(rig: Rig) -> str:
    """The database of the mesh as its owner, who may fill tables."""
    port = int(rig.variable("SA01_REGISTRY_POSTGRES_DSN").rpartition(":")[2].partition("/")[0])
    return PostgresEngine(rig.home, port).dsn_of("soma")


@asynccontextmanager
async def world_of(rig: Rig, ids: dict[str, str]) -> AsyncIterator[World]:
    """Channels past the edge, which has limits of rates, with the tokens of the callers."""
    async with AsyncExitStack() as stack:
        channels: dict[str, grpc.aio.Channel] = {
            context: await stack.enter_async_context(rig.direct(context)) for context in CONTEXTS
        }
        service = Claims(SYSTEM_TENANT, "spiffe://soma/growth", roles=(SERVICE_ROLE,))
        tokens = {TENANT: rig.key}
        world = World(channels, tokens, lambda: _dead_letter(rig, world), lambda: rig.token(service), ids)
        await world.renew_tokens()
        key = await world.ask("gateway.v1.ApiKeyService.CreateApiKey", {"api_key": {"display_name": "actor"}})
        actor = Claims(TENANT, "growth", ROLES, key_id=str(key["key_id"]), actor="spiffe://soma/executor")
        tokens[ACTOR] = await rig.token(actor, 7_200)
        yield world


async def measure(rig: Rig, rows: int, times: int, log: Callable[[str], None]) -> Growth:
    """The whole comparison, by one mesh: a restart would send again what the copied outboxes hold."""
    Descriptors.read().load_generated()
    growth, ids = Growth(), dict[str, str]()
    await _restart_with_counting(rig)
    async with world_of(rig, ids) as world:
        await create_data(world)
        log("measuring with empty tables")
        growth.empty, growth.statements_empty = await _all_calls(rig, world, times, growth.failed)
    log("filling tables")
    async with rig.replacing(CONTEXTS):  # they read the full tables when they start
        growth.rows, growth.copied_from_nothing = await fill_all(owner_dsn(rig), CONTEXTS, rows, TENANT, log)
    async with world_of(rig, ids) as world:
        log("measuring with full tables")
        growth.full, growth.statements_full = await _all_calls(rig, world, times, growth.failed)
    return growth


async def create_data(world: World) -> None:
    """One of everything, so that each call has something to be about."""
    ids = world.ids
    await world.ask("selector.v1.BudgetService.SetBudget", {"budget": {"limit_micro_usd": "10000000000"}})
    made = await world.ask("registry.v1.CapabilityService.RegisterCapability", {"capability": capability("growth")})
    ids["capability_id"], ids["owner_tenant_id"] = str(made["capability_id"]), str(made.get("owner_tenant_id", ""))
    upload = [{"filename": "a.txt", "content": {"content_type": "text/plain", "data": "Z3Jvd3Ro"}}]
    ids["asset_id"] = str((await world.ask("assets.v1.AssetService.UploadAsset", upload))["asset_id"])
    ids["key_id"] = str(
        (await world.ask("gateway.v1.ApiKeyService.CreateApiKey", {"api_key": {"display_name": "a"}}))["key_id"]
    )
    ids["rubric_id"] = str((await world.ask("critic.v1.RubricService.CreateRubric", {"rubric": RUBRIC}))["rubric_id"])
    judged = await world.ask("critic.v1.CriticService.Evaluate", {"asset_id": ids["asset_id"]})
    ids["evaluation_id"] = str(judged["evaluation_id"])
    job = await world.ask("executor.v1.JobService.SubmitJob", {"plan": PLAN})
    ids["job_id"] = str(job["job_id"])
    await world.ended(ids["job_id"])
    listed = await world.ask("assets.v1.AssetService.ListAssets", {"job_id": ids["job_id"]})
    ids["made_id"] = str(listed["assets"][0]["asset_id"])  # type: ignore[index]
    document = await world.ask("executor.v1.JobService.SubmitJob", {"plan": DOCUMENT})
    ids["document_job_id"] = str(document["job_id"])
    await world.ended(ids["document_job_id"])
    need = {"requirements": {"modality": "MODALITY_TOOL", "task_type": "growth"}, "request_id": "create_data"}
    chosen = await _until(world, "selector.v1.SelectorService.Select", need, "selection_id")
    ids["selection_id"] = str(chosen["selection_id"])
    events = await _until(world, "provenance.v1.AuditService.ListAuditEvents", {"page_size": 1}, "audit_events")
    ids["audit_id"] = str(events["audit_events"][0]["audit_id"])  # type: ignore[index]
    await _until(world, "provenance.v1.ReceiptService.GetReceipt", {"receipt_id": ids["job_id"]}, "receipt_id")
    await _until(world, "provenance.v1.ProvenanceService.GetProvenance", {"asset_id": ids["made_id"]}, "asset")
    ids["dlq_id"] = await world.dead_letter()


async def _until(world: World, name: str, body: dict[str, object], wanted: str) -> dict[str, object]:
    """An answer once it has the wanted field: what services tell each other takes a moment."""
    deadline = SystemClock().monotonic() + WAIT_S
    answer: dict[str, object] = {}
    while SystemClock().monotonic() < deadline:
        try:
            answer = await world.ask(name, body)
        except grpc.aio.AioRpcError as error:
            answer = {"error": error.details()}
        if answer.get(wanted):
            return answer
        await asyncio.sleep(0.2)
    raise RuntimeError(f"{name} has no {wanted}: {answer}")


async def _dead_letter(rig: Rig, world: World) -> str:
    """A dead letter of an event that nobody can read."""
    event_id = SystemIds().new()
    connection = await asyncpg.connect(owner_dsn(rig))
    try:
        await connection.execute(POISON, event_id, TENANT)
    finally:
        await connection.close()
    query = {"correlation_id": event_id}
    found = await _until(world, "provenance.v1.DeadLetterService.ListDeadLetters", query, "dead_letters")
    return str(found["dead_letters"][0]["dlq_id"])  # type: ignore[index]


async def _all_calls(
    rig: Rig, world: World, times: int, failed: list[str]
) -> tuple[dict[str, list[float]], dict[tuple[str, int], Statement]]:
    connection = await asyncpg.connect(owner_dsn(rig))
    try:
        await statements.forget(connection)
        taken = await _rounds(world, times, failed)
        return taken, await statements.costs(connection, CONTEXTS)
    finally:
        await connection.close()


async def _rounds(world: World, times: int, failed: list[str]) -> dict[str, list[float]]:
    """Seconds of the calls of each method, in rounds: each round calls every method, in random order.

    Background work that one call leaves then falls on all methods alike, with empty tables and with full ones. The
    first rounds, which open connections and prepare statements, do not count. A method that failed is not called again.
    """
    taken: dict[str, list[float]] = {name: [] for name in CALLS}
    names, random_source = list(CALLS), rng(0)
    for number in range(WARM + times):
        random_source.shuffle(names)
        await world.renew_tokens()
        for name in list(names):
            try:
                seconds = await _call(world, name)
                taken[name] += seconds if number >= WARM else []
            except (grpc.aio.AioRpcError, RuntimeError) as error:
                failed.append(f"{name}: {error}")
                names.remove(name)
                del taken[name]
    return taken


async def _call(world: World, name: str) -> list[float]:
    """Seconds of the calls of one round; each waits until the machine is quiet. One that writes has a request each."""
    service, _, method = f"soma.{name}".rpartition(".")
    reads = not changes(service, method)
    body, seconds = await CALLS[name](world), list[float]()
    for number in range(READ_CALLS if reads else WRITE_CALLS):
        body = body if reads or not number else await CALLS[name](world)
        await quiet()
        answer, taken = await world.timed(name, body, CALLERS.get(name, TENANT))
        seconds.append(taken)
        if name in STARTS_JOB and "job_id" in answer:  # a job that ended before it was cancelled is not resumed
            await world.ended(str(answer["job_id"]))
    return seconds


async def _restart_with_counting(rig: Rig) -> None:
    connection = await asyncpg.connect(owner_dsn(rig))
    try:
        await statements.enable(connection)
    finally:
        await connection.close()
    for words in (("down",), ("up", "--detach", "--port", str(rig.port), *([] if rig.embedded else ["--mesh"]))):
        done = await asyncio.to_thread(rig.soma, *words, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)


def forgotten(names: Sequence[str]) -> list[str]:
    """Methods of the contracts that have no call here."""
    return sorted({name.removeprefix("soma.") for name in names} - set(CALLS))
