"""Every place of a running mesh where something may stay, each as bytes; and what of it is content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import httpx
import redis.asyncio
from temporalio.client import Client

from mesh.contexts import installed
from mesh.settings import BlobSettings
from mesh.stores import blobs
from soma_local.supervisor import StateFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.conftest import RunningMesh

CONTENT: dict[str, str] = {
    "executor.multimodal_job_plans": "the tenant's plan, which the job is made from, and its owner",
    "executor.job_steps": "tasks of the plan and texts that were made",
    "executor.multimodal_executions": "parameters and prompt of an attempt, which a resumed job is made from",
    "executor.job_events": "the timeline that the tenant reads, with the names it gave",
    "assets.multimodal_assets": "file names and metadata that the tenant gave",
    "critic.evaluations": "findings quote what the tenant's asset says",
    "critic.rubrics": "rubrics in the tenant's words",
    "blobs": "bytes of the tenant's assets",
}
"""Stores of the tenant's own content, which are read, exported and erased as such. Nothing else may hold canaries."""

FOLDERS_READ_OTHERWISE = {"postgres": "table by table", "blobs": "claims of workflows; the rest is content"}
_ROWS = "SELECT * FROM {}"
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relname AS family
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = current_schema()
"""
CONTEXTS = tuple(context.name for context in installed())

Place = tuple[str, bytes]


async def all_places(mesh: RunningMesh) -> AsyncIterator[Place]:
    """Everything but the stores of content."""
    for place in files(mesh):
        yield place
    async for place in tables(mesh):
        yield place
    async for place in keys(mesh):
        yield place
    async for place in histories(mesh):
        yield place
    async for place in metrics(mesh):
        yield place
    for number, batch in enumerate(mesh.spans.raw):
        yield f"spans/{number}", batch


def files(mesh: RunningMesh) -> Iterator[Place]:
    """Files of the home: logs, what engines keep on disk, run files."""
    for path in sorted(mesh.home.root.rglob("*")):
        below = path.relative_to(mesh.home.root).parts
        if path.is_file() and not FOLDERS_READ_OTHERWISE.keys() & set(below):
            yield f"files/{'/'.join(below)}", path.read_bytes()


async def tables(mesh: RunningMesh) -> AsyncIterator[Place]:
    """All rows of all tables, columns of bytes as they are."""
    for context in CONTEXTS:
        connection = await asyncpg.connect(mesh.variable(f"SA01_{context.upper()}_POSTGRES_DSN"))
        try:
            await connection.execute("SELECT set_config('soma.tenant_id', '*', false)")
            for table in await connection.fetch(_TABLES):
                if f"{context}.{table['family']}" in CONTENT:
                    continue
                rows = await connection.fetch(_ROWS.format(table["name"]))
                yield f"postgres/{context}.{table['family']}", b"\n".join(_bytes(item) for row in rows for item in row)
        finally:
            await connection.close()


async def keys(mesh: RunningMesh) -> AsyncIterator[Place]:
    """All keys of Valkey, streams to their beginning."""
    client = redis.asyncio.Redis.from_url(mesh.variable("SA01_VALKEY_URL"))
    try:
        async for key in client.scan_iter(count=1_000):
            kind = (await client.type(key)).decode()
            yield f"valkey/{key.decode(errors='replace')}", key + b"\n" + _bytes(await _value(client, kind, key))
    finally:
        await client.aclose()


async def _value(client: redis.asyncio.Redis, kind: str, key: bytes) -> object:
    match kind:
        case "string":
            return await client.get(key)
        case "hash":
            return await client.hgetall(key)
        case "stream":
            return await client.xrange(key)
        case "list":
            return await client.lrange(key, 0, -1)
        case "set":
            return await client.smembers(key)
        case _:
            return await client.zrange(key, 0, -1)


async def histories(mesh: RunningMesh) -> AsyncIterator[Place]:
    """Histories of all workflows, and the payloads that claims in them stand for."""
    client = await Client.connect(mesh.variable("SA01_TEMPORAL_ADDRESS"))
    async for workflow in client.list_workflows():
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        history = await handle.fetch_history()
        yield f"temporal/{workflow.id}", b"\n".join(event.SerializeToString() for event in history.events)
    async with blobs.open(BlobSettings(url=mesh.home.blobs.as_uri())) as store:
        async for key in store.list("workflows"):
            yield f"temporal/{key}", await store.read(key)


async def metrics(mesh: RunningMesh) -> AsyncIterator[Place]:
    """Pages of metrics, of the services and of Envoy."""
    ports = json.loads((mesh.home.run / "ports.json").read_text())
    pages = [f"http://127.0.0.1:{port}/metrics" for name, port in ports.items() if name.endswith(".metrics")]
    state = StateFile(mesh.home).running()
    pages += (
        [f"http://{each.address}/stats/prometheus" for each in state.programs if each.name == "envoy"] if state else []
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        for page in pages:
            try:
                yield f"metrics/{page}", (await client.get(page)).content
            except httpx.TransportError:
                continue  # one process serves all contexts, on the port of the first; the others are anybody's


def _bytes(value: object) -> bytes:
    """A value with all the bytes in it as they are."""
    match value:
        case bytes():
            return value
        case dict():
            return b"\n".join(_bytes(key) + b"=" + _bytes(item) for key, item in value.items())
        case list() | tuple() | set():
            return b"\n".join(_bytes(item) for item in value)
        case _:
            return str(value).encode()
