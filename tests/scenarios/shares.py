"""One must not stop others: tools, places, circuits and capabilities that tenants share."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import httpx

from mesh.identity import Claims
from soma.registry.v1 import capability_service_pb2, capability_service_pb2_grpc
from tests.bench.probes import exposition
from tests.bench.soak.hostile import capability, graph
from tests.bench.soak.normal_tenant import CHART
from tests.scenarios.scenario import Scenario, expect
from tests.scenarios.watching import watching
from tests.scenarios.world import CAPABILITIES, JOBS, SELECTIONS, SLOW, UNENDED, UPLOADS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.scenarios.watching import Watch
    from tests.scenarios.world import Json, World


def _said(watches: Sequence[Watch]) -> str:
    return "; ".join(map(str, watches))


_DIAGRAM = {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram"}


_CHART = {"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}


def _drawn(tool: str, nodes: int, edges: int) -> Json:
    return {
        "task_id": "a", "step_type": "generate_diagram", "params": {"diagram": graph(nodes, edges)},
        "user_defaults": {"provider": "local", "model": tool}, "quality_gate": {"enabled": False},
    }  # fmt: skip


async def diagrams(world: World) -> str:
    """12: ordinary diagrams hold up nobody, and no attempt of others is made twice."""
    async with watching(world, "executor") as watches:
        ours = [await world.innocent.submit(_CHART) for _ in range(3)]
        theirs = [await world.hostile.submit(_drawn(tool, 45, 90)) for tool in ("mermaid", "plantuml", "d2")]
        states = [(await world.hostile.ended(job_id))["state"] for job_id in theirs]
        for job_id in ours:
            job = await world.innocent.ended(job_id)
            expect(job["state"] == "JOB_STATE_COMPLETED", f"the innocent job ended {job['state']}: {job['message']}")
            expect(len(await world.innocent.attempts(job_id)) == 1, "an attempt was made twice")
    return f"the diagrams ended {', '.join(states)}; {_said(watches)}"


async def slow_sources(world: World) -> str:
    """13: sources that take a tool for long leave it to others."""
    hostile = [await world.hostile.submit(_drawn("mermaid", 60, 120)) for _ in range(4)]
    nested = {
        "task_id": "a",
        "step_type": "generate_diagram",
        "params": {"source": "graph TD\n" + "subgraph a\n" * 500},
    }
    hostile.append(await world.hostile.submit({**nested, "user_defaults": {"provider": "local", "model": "mermaid"}}))
    async with watching(world, "executor") as watches:
        job = await world.innocent.run(_drawn("mermaid", 4, 3))
        expect(job["state"] == "JOB_STATE_COMPLETED", f"the innocent diagram ended {job['state']}: {job['message']}")
        attempts = await world.innocent.attempts(job["job_id"])
    for job_id in hostile:
        await world.hostile.call("POST", f"{JOBS}/{job_id}:cancel", json={})
    made = [f"{each['tool_id']} {each['status']}" for each in attempts]
    expect("mermaid" in made[-1], f"made by another tool: {made}")
    return f"{made}; {_said(watches)}"


def _shot(url: str) -> Json:
    return {
        "task_id": "a",
        "step_type": "capture_screenshot",
        "params": {"url": url},
        "quality_gate": {"enabled": False},
    }


async def circuits(world: World) -> str:
    """14: what a tenant sends opens no circuit of others."""
    site = world.site.url
    pages = [*(["https://nowhere.invalid/"] * 4), f"{site}/download", f"{site}/broken", f"{site}/cut", f"{site}/loop"]
    jobs = [await world.hostile.submit(_shot(url)) for url in pages]
    states = [(await world.hostile.ended(job_id))["state"].removeprefix("JOB_STATE_") for job_id in jobs]
    shot = await world.innocent.run(_shot(f"{site}/"))
    expect(shot["state"] == "JOB_STATE_COMPLETED", f"the innocent screenshot ended {shot['state']}: {shot['message']}")
    tool = await world.innocent.ask("GET", f"{CAPABILITIES}/playwright_screenshot@local")
    expect(not tool.get("health", {}).get("circuit_open"), f"the circuit is open for all: {tool['health']}")
    return f"after {len(pages)} pages ({', '.join(sorted(set(states))).lower()}) another tenant's page is shown"


async def large_capabilities(world: World) -> str:
    """15: capabilities as large as they may be do not keep a selector from loading."""
    tenant, limit = await world.tenant("large"), 60_000
    for body in (
        capability("large", {"description": "x" * 2_900_000}),
        {**capability("large", {}), "output_schema": {"description": "x" * 2_900_000}},
        {**capability("large", {}), "default_parameters": {"x": "y" * 2_900_000}},
    ):
        answer = await tenant.call("POST", CAPABILITIES, json=body)
        expect(answer.status_code == 400, f"a schema of 2.9 MB: {answer.status_code}")
    for number in range(60):
        whole = capability(f"whole{number}", {"description": "x" * limit})
        whole |= {"output_schema": {"description": "x" * limit}, "default_parameters": {"x": "y" * limit}}
        await tenant.ask("POST", CAPABILITIES, json={**whole, "description": "d" * 2_000})
    token = await world.rig.token(Claims("soma", "selector", roles=("service",)))
    sizes = list[int]()
    async with world.rig.direct("registry") as channel:
        stub = capability_service_pb2_grpc.CapabilityServiceStub(channel)
        call = stub.WatchCapabilities(
            capability_service_pb2.WatchCapabilitiesRequest(), metadata=[("authorization", f"Bearer {token}")]
        )
        async for message in call:
            sizes.append(message.ByteSize())
            if message.complete:
                break
        call.cancel()
    expect(max(sizes) < 2 << 20, f"a message of {max(sizes)} bytes")
    body = {"requirements": _DIAGRAM, "dry_run": True}
    await world.innocent.ask("POST", SELECTIONS, json=body)
    for number in range(60):
        await tenant.call("DELETE", f"{CAPABILITIES}/whole{number}@hostile")
    return f"a snapshot of {sum(sizes) >> 20} MiB in {len(sizes)} messages, {max(sizes):,} bytes at most"


async def slots(world: World) -> str:
    """17: attempts that wait for one tenant's slow provider leave room for others."""
    hostile = await world.tenant("waiting")
    slow = await world.paid(hostile, SLOW)
    step = {
        "task_id": "a", "step_type": "generate_text", "task_type": slow["task_types"][0],
        "params": {"prompt": f"about {slow['tool_id']}", "max_tokens": 1},
    }  # fmt: skip

    with world.provider.held():
        jobs = [await hostile.submit(*({**step, "task_id": f"s{n}"} for n in range(4))) for _ in range(15)]
        await world.called(hostile, jobs[0], f"about {slow['tool_id']}")
        job = await world.innocent.run(_CHART)
        expect(job["state"] == "JOB_STATE_COMPLETED", f"the innocent job ended {job['state']}")
        waiting = [await hostile.ask("GET", f"{JOBS}/{each}") for each in jobs]
        over = [each for each in waiting if each["state"] not in UNENDED]
        expect(not over, f"{len(over)} hostile jobs ended before: {over[:1]}")
        for each in jobs:
            await hostile.call("POST", f"{JOBS}/{each}:cancel", json={})
    return f"a job ended while {len(jobs)} jobs of another tenant waited for their provider"


async def bounded(world: World) -> str:
    """30: capabilities have a quota, and metrics neither grow by a tenant's words nor tell its names."""
    tenant, secret = await world.tenant("many"), f"private{os.urandom(4).hex()}"
    await tenant.ask("POST", CAPABILITIES, json=capability(secret, {}))
    stored = (await tenant.upload(b"Some words about a thing that is judged. " + os.urandom(4).hex().encode())).json()
    for number in range(5):
        about = {"tool_id": f"{secret}-{number}"}
        body = {"asset_id": stored["asset_id"], "context": about}
        await tenant.call("POST", "/v1/multimodal/evaluations", json=body)
    made = await asyncio.gather(
        *(tenant.call("POST", CAPABILITIES, json=capability(f"q{number}", {})) for number in range(220))
    )
    refused = [each for each in made if not each.is_success]
    expect(refused, "220 capabilities were registered")
    expect(all(each.status_code in {400, 409, 429} for each in refused), f"{ {e.status_code for e in refused} }")
    ports: dict[str, int] = json.loads((world.rig.home.run / "ports.json").read_text())
    for name in [name for name in ports if name.endswith(".metrics")]:
        try:
            text = await asyncio.to_thread(exposition, ports[name])
        except OSError:
            continue  # a process that serves several contexts exposes on the first one's port
        expect(secret not in text, f"{name} tells the name of a private capability")
    for number in range(220):
        await tenant.call("DELETE", f"{CAPABILITIES}/q{number}@hostile")
    return f"{len(made) - len(refused)} registered, {len(refused)} refused; no private name in metrics"


async def _drops(over: asyncio.Event) -> AsyncIterator[bytes]:
    while not over.is_set():
        yield b"a"
        await asyncio.sleep(1)


async def slow_uploads(world: World) -> str:
    """31: uploads of a byte a second leave room for others."""
    over, tenant = asyncio.Event(), world.hostile
    headers = {"content-type": "text/plain"}
    tasks = [
        asyncio.create_task(
            tenant.client.post(UPLOADS, params={"filename": "slow"}, headers=headers, content=_drops(over))
        )
        for _ in range(60)
    ]
    try:
        async with watching(world, "assets") as watches:
            for _ in range(10):
                answer = await world.innocent.upload(b"quick " + os.urandom(8).hex().encode())
                expect(answer.is_success, f"an innocent upload: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(1)
    finally:
        over.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    seen = sorted(
        {str(each.status_code) if isinstance(each, httpx.Response) else type(each).__name__ for each in ended}
    )
    return f"10 uploads answered beside {len(tasks)} slow ones ({', '.join(seen)}); {_said(watches)}"


SCENARIOS = (
    Scenario(
        12, "ordinary diagrams", "the executor goes on, no attempt is made twice",
        "tests/unit/soma_providers/test_local_processes.py::"
        "test_a_diagram_is_drawn_while_another_tenants_source_takes_for_ever", diagrams, bound_s=600,
    ),
    Scenario(
        13, "sources that take a tool for long", "others' diagrams are drawn",
        "tests/unit/soma_providers/test_local_processes.py::"
        "test_a_diagram_is_drawn_while_another_tenants_source_takes_for_ever", slow_sources, bound_s=600,
    ),
    Scenario(
        14, "circuits and what a tenant sends", "open for nobody else",
        "tests/chaos/multimodal/test_circuit_breaker.py::"
        "test_what_a_tenant_sends_takes_nothing_out_of_any_selection", circuits, bound_s=600,
    ),
    Scenario(
        15, "capabilities as large as a message", "refused or sent in parts",
        "tests/unit/registry/test_watching.py::test_a_snapshot_is_cut_by_bytes", large_capabilities, bound_s=400,
    ),
    Scenario(
        17, "attempts that wait for a slow provider", "others' attempts are made",
        "tests/integration/executor/test_tenants_share.py::"
        "test_attempts_that_wait_for_a_provider_hold_no_slot", slots, bound_s=400,
    ),
    Scenario(
        30, "what grew without bound", "quotas, and metrics that tell no private name",
        "tests/contract/registry/test_owners.py::"
        "test_a_tenant_has_no_more_capabilities_than_its_quota", bounded, bound_s=400,
    ),
    Scenario(
        31, "slow uploads", "others are answered",
        "tests/integration/assets/test_slow_uploads.py::"
        "test_a_tenant_with_many_slow_uploads_leaves_places_to_others", slow_uploads,
    ),
    Scenario(
        36, "migrations of full tables", "run beside a busy service",
        "tests/unit/tools/test_online_migrations.py::test_a_migration_runs_beside_a_busy_service",
        why="needs tables of an earlier release",
    ),
    Scenario(
        37, "dead letters that nobody follows", "are claimed by an index, in turns",
        "tests/integration/provenance/test_dead_letter_claims.py::test_dead_letters_that_are_long_overdue_take_turns",
        why="a plan of a statement is seen in the database alone",
    ),
)  # fmt: skip
