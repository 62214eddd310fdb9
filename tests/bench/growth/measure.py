"""Measures every call and every statement with empty tables and with full ones, side by side.

Two meshes run at once, one with empty tables and one with full ones, and each call is made to the one and right after
it to the other: a machine whose speed changes in the course of a run, as shared ones do, is then as slow for both.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import grpc.aio

from mesh.clock import SystemClock
from mesh.contexts import installed
from mesh.identity import SERVICE_ROLE, SYSTEM_TENANT, Claims
from mesh.ids import SystemIds, rng
from mesh.rpc.access import has_side_effects
from soma_local.engines import PostgresEngine
from svc_gateway.adapters.descriptors import Descriptors
from tests.bench.figures import percentile
from tests.bench.growth import statements
from tests.bench.growth.calls import ACTOR, CALLERS, CALLS, RUBRIC, STARTS_JOB, capability
from tests.bench.growth.filling import fill_all
from tests.bench.growth.quiet import quiet
from tests.bench.growth.world import DOCUMENT, PLAN, TENANT, World

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Sequence

    from tests.bench.growth.statements import Statement
    from tests.bench.rig import Rig

CONTEXTS = tuple(context.name for context in installed())
ROLES = ("viewer", "member", "admin", "platform_admin")
WARM = 3
READ_CALLS, WRITE_CALLS = 5, 3
"""Calls of a method in each round, more if it only reads: the more there are, the less p95 varies by chance."""
DOUBTFUL = 1.25
"""Methods whose ratio is above this after all rounds are called as many times again, and once more."""
REPEATS = 2
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

    def has_samples(self, name: str) -> bool:
        """Whether a method was called and did not fail."""
        return bool(self.full.get(name) and self.empty.get(name))

    def ratio(self, name: str) -> float:
        """p95 with full tables over p95 with empty ones; infinite for a call that failed."""
        if not self.has_samples(name):
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


@dataclass
class Side:
    """One of the two meshes: its world, and the seconds of each method's calls."""

    world: World
    taken: dict[str, list[float]]


async def measure(empty: Rig, full: Rig, rows: int, times: int, log: Callable[[str], None]) -> Growth:
    """The whole comparison; only the tables of `full` are filled.

    Neither mesh is restarted after that, since it would then send again what the copied outboxes hold. The contexts'
    processes are replaced in both, so that they are equally old.
    """
    Descriptors.read().load_generated()
    growth, ids = Growth(), (dict[str, str](), dict[str, str]())
    for rig, its_ids in zip((empty, full), ids, strict=True):
        await _restart_with_counting(rig)
        async with world_of(rig, its_ids) as world:
            await create_data(world)
    log("filling tables")
    async with empty.replacing(CONTEXTS), full.replacing(CONTEXTS):  # they read the full tables when they start
        growth.rows, growth.copied_from_nothing = await fill_all(owner_dsn(full), CONTEXTS, rows, TENANT, log)
    log("measuring")
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(world_of(rig, its_ids))
            for rig, its_ids in zip((empty, full), ids, strict=True)
        ]
        connections = [await _counting(stack, rig) for rig in (empty, full)]
        sides = [Side(world, taken) for world, taken in zip(worlds, (growth.empty, growth.full), strict=True)]
        await all_rounds(growth, sides, times, rng(0), log)
        growth.statements_empty, growth.statements_full = [
            await statements.costs(connection, CONTEXTS) for connection in connections
        ]
    return growth


async def _counting(stack: AsyncExitStack, rig: Rig) -> asyncpg.Connection:
    connection = await asyncpg.connect(owner_dsn(rig))
    stack.push_async_callback(connection.close)
    await statements.forget(connection)
    return connection


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


async def all_rounds(
    growth: Growth, sides: Sequence[Side], times: int, random_source: random.Random, log: Callable[[str], None]
) -> None:
    """Rounds with every method, then further ones with those that seem to grow: no sample is left out."""
    await _rounds(growth, sides, list(CALLS), WARM, random_source)
    names = [name for name in CALLS if growth.has_samples(name)]
    for side in sides:  # the first rounds open connections and prepare statements
        side.taken.clear()
    await _rounds(growth, sides, names, times, random_source)
    for _ in range(REPEATS):
        doubtful = [name for name in names if DOUBTFUL < growth.ratio(name) < math.inf]
        if not doubtful:
            return
        log("measuring again: " + ", ".join(f"{name} {growth.ratio(name):.2f}" for name in doubtful))
        await _rounds(growth, sides, doubtful, times, random_source)


async def _rounds(
    growth: Growth, sides: Sequence[Side], names: list[str], times: int, random_source: random.Random
) -> None:
    """Adds the seconds of the calls of each method, in rounds: each round calls every method, in random order.

    Background work that one call leaves then falls on all methods alike. A method that failed is not called again.
    """
    left = list(names)
    for _ in range(times):
        random_source.shuffle(left)
        for side in sides:
            await side.world.renew_tokens()
        for name in list(left):
            try:
                await _call(sides, name, random_source)
            except (grpc.aio.AioRpcError, RuntimeError) as error:
                growth.failed.append(f"{name}: {error}")
                left.remove(name)
                for side in sides:
                    side.taken.pop(name, None)


async def _call(sides: Sequence[Side], name: str, random_source: random.Random) -> None:
    """The calls of one round, each made to both meshes in random order, once the machine is quiet.

    One that writes has a request each.
    """
    service, _, method = f"soma.{name}".rpartition(".")
    reads = not has_side_effects(service, method)
    bodies = [await CALLS[name](side.world) for side in sides]
    for number in range(READ_CALLS if reads else WRITE_CALLS):
        if number and not reads:
            bodies = [await CALLS[name](side.world) for side in sides]
        for side, body in random_source.sample(list(zip(sides, bodies, strict=True)), len(sides)):
            await quiet()
            answer, taken = await side.world.timed(name, body, CALLERS.get(name, TENANT))
            side.taken.setdefault(name, []).append(taken)
            if name in STARTS_JOB and "job_id" in answer:  # a job that ended before it was cancelled is not resumed
                await side.world.ended(str(answer["job_id"]))


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
