"""Invariant 7: what a client gives is content of its tenant, and gets to no log, trace, topic, error or record."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import asyncpg
import pytest
import redis.asyncio
from temporalio.client import Client

from tests.chaos.contexts.canaries.generated import Scanner, generate_canaries
from tests.chaos.contexts.canaries.places import Place, all_places
from tests.chaos.contexts.canaries.planting import Planting
from tests.e2e.jobs import events, submit

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningMesh

pytestmark = pytest.mark.timeout(400)
SEED = 20261124
CANARIES = generate_canaries(SEED)


@pytest.fixture(scope="module")
async def planting(mesh: RunningMesh) -> Planting:
    """Canaries at every way in, and the work on them done."""
    with mesh.client() as api:
        planting = Planting(api, CANARIES)
        jobs = [submit(api, plan) for plan in planting.plans()]
        planting.wrong()
        planting.headers()
        asset_id = planting.uploads()
        planting.call(
            "POST",
            "/v1/multimodal/evaluations",
            json={"asset_id": asset_id, "context": {"request": planting.canary_text()}},
        )
        for job_id in jobs:
            for _ in events(api, job_id):
                pass
            planting.call("GET", f"/v1/multimodal/jobs/{job_id}/describe")
        return planting


async def test_all_fifty_are_planted(planting: Planting) -> None:
    assert planting.planted == {canary.name for canary in CANARIES}


async def test_no_canary_is_found_outside_of_the_content_of_its_tenant(mesh: RunningMesh, planting: Planting) -> None:
    scanner, found = Scanner(CANARIES), defaultdict[str, set[str]](set)
    places: set[str] = set()

    def look(place: Place) -> None:
        name, content = place
        places.add(name.partition("/")[0])
        for canary in scanner.find(content):
            found[name].add(canary)

    async for place in all_places(mesh):
        look(place)
    for place in planting.errors:
        look(place)
    assert places >= {"files", "postgres", "valkey", "temporal", "metrics", "spans"}
    told = [f"{place}: {len(names)}, for example {', '.join(sorted(names)[:3])}" for place, names in found.items()]
    assert not told, f"seed {SEED}, {scanner.bytes_read:,} bytes read\n" + "\n".join(told)


async def test_the_scan_finds_canaries_where_they_may_be(mesh: RunningMesh, planting: Planting) -> None:
    """Else the scan would look at a mesh that they never got into."""
    with mesh.client() as api:
        page = api.get("/v1/multimodal/jobs", params={"page_size": 50}).content
    assert list(Scanner(CANARIES).find(page))


async def test_the_scan_finds_all_fifty_when_they_are_written_into_each_kind_of_place(mesh: RunningMesh) -> None:
    """The last test here: what it writes stays in files of the engines."""
    raw = "\n".join(canary.text for canary in CANARIES)
    (mesh.home.logs / "planted.log").write_text(raw)
    await write_row(mesh, raw)
    await write_key(mesh, raw)
    await write_history(mesh, raw)
    scanner, found = Scanner(CANARIES), defaultdict[str, set[str]](set)
    async for name, content in all_places(mesh):
        found[name.partition("/")[0]] |= {canary.partition(" ")[0] for canary in scanner.find(content)}
    every = {canary.name for canary in CANARIES}
    assert {kind: every - found[kind] for kind in ("files", "postgres", "valkey", "temporal")} == {
        "files": set(), "postgres": set(), "valkey": set(), "temporal": set()
    }  # fmt: skip


async def write_row(mesh: RunningMesh, raw: str) -> None:
    connection = await asyncpg.connect(mesh.variable("SA01_PROVENANCE_POSTGRES_DSN"))
    try:
        await connection.execute("INSERT INTO inbox (consumer_group, event_id) VALUES ('planted', $1)", raw)
    finally:
        await connection.close()


async def write_key(mesh: RunningMesh, raw: str) -> None:
    client = redis.asyncio.Redis.from_url(mesh.variable("SA01_VALKEY_URL"))
    try:
        await client.set("planted", raw, ex=600)
    finally:
        await client.aclose()


async def write_history(mesh: RunningMesh, raw: str) -> None:
    client = await Client.connect(mesh.variable("SA01_TEMPORAL_ADDRESS"))
    handle = await client.start_workflow("Planted", raw, id="planted", task_queue="nobody")
    await handle.terminate("it was planted")
