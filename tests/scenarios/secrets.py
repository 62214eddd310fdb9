"""Secrets and egress: what one tenant could read of another, or reach through the mesh."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import grpc
import grpc.aio

from soma.assets.v1 import asset_service_pb2, asset_service_pb2_grpc
from tests.bench.soak.hostile import capability
from tests.chaos.contexts.replicas.replica_run import ROUTES
from tests.scenarios.scenario import Scenario, expect
from tests.scenarios.watching import watching
from tests.scenarios.world import CAPABILITIES, SELECTIONS, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.scenarios.world import World

_REFUSED = {400, 403, 404, 409}
_ELSEWHERE = ("../victim/openai", "a/../../victim/openai", "/victim", "a//b", ".", "%2e%2e/victim", "..\\victim", "a\n")
_OTHERS: Sequence[tuple[str, object]] = (
    ("price_list", {"prices": [{"unit": "PRICE_UNIT_CALL", "micro_usd": 10**15}]}),
    ("endpoint", "https://" + "a" * 600),
    ("task_types", ["../x"]),
    ("display_name", "x" * 101),
)


async def other_keys(world: World) -> str:
    """1: paths of credentials that lead to another tenant's folder, by every way in."""
    tenant, victim = world.hostile, world.innocent.tenant_id
    await world.keep_secret(victim, "openai", "sk-of-the-victim")
    made = await world.paid(tenant, "gpt-4.1")
    path = f"{CAPABILITIES}/{made['capability_id']}"
    changes = [("credential_path", each.replace("victim", victim)) for each in _ELSEWHERE]
    for field, value in [*changes, *_OTHERS]:
        for mask in (field, "*"):
            answer = await tenant.call("PATCH", path, params={"update_mask": mask}, json={**made, field: value})
            expect(answer.status_code in _REFUSED, f"{field}={str(value)[:40]!r} by {mask}: {answer.status_code}")
    for _, value in changes:
        answer = await tenant.call("POST", CAPABILITIES, json={**made, "tool_id": "other", "credential_path": value})
        expect(answer.status_code in _REFUSED, f"registered with {value!r}: {answer.status_code}")
    body = {**made, "credential_path": f"{victim}/openai"}
    answer = await tenant.call("PATCH", path, params={"update_mask": "credential_path"}, json=body)
    expect(answer.is_success, f"a plain path of its own was refused: {answer.text[:200]}")
    job = await tenant.run({
        "task_id": "a", "step_type": "generate_text", "task_type": made["task_types"][0], "params": {"prompt": "hello"},
    })  # fmt: skip
    sent = {each.headers.get("authorization", "") for each in world.provider.received}
    expect(not any("victim" in each for each in sent), "the victim's key was sent")
    return f"{len(changes) + len(_OTHERS)} changes refused; a path named like the victim read nothing: {job['state']}"


def _schemas(url: str) -> dict[str, object]:
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"not": deep}
    wide: dict[str, object] = {"anyOf": [{"$ref": "#/$defs/a"}] * 50}
    return {
        "remote": {"$ref": url},
        "remote within": {"properties": {"x": {"items": {"$ref": f"{url}#/a"}}}},
        "dynamic": {"$dynamicRef": url},
        "base": {"$id": url, "properties": {"x": {"$ref": "other.json"}}},
        "base within": {"$defs": {"a": {"$id": url, "$ref": "b"}}, "$ref": "#/$defs/a"},
        "meta": {"$schema": url},
        "file": {"$ref": "file:///etc/passwd"},
        "loop": {"$ref": "#"},
        "loop of two": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "deep": deep,
        "wide": {"$defs": {"a": {**wide, "$defs": {}}}, **wide},
        "backward": {"properties": {"x": {"pattern": "^(a+)\\1$"}}},
        "repeated": {"properties": {"x": {"pattern": "^((a{1,99}){1,99}){1,99}$"}}},
    }


_ACCEPTED = {"meta", "base"}
"""What names a document of its own is read without it, or refused."""


async def schemas(world: World) -> str:
    """6: schemas that fetch, and schemas and patterns that take time."""
    tenant, site = world.hostile, world.site
    seen, accepted = len(site.received), set[str]()
    text = "a" * 5_000 + "!"
    async with watching(world, "registry", "selector") as watches:
        for name, schema in _schemas(f"{site.url}/schema").items():
            for field in ("input_schema", "output_schema"):
                body = {**capability(f"s{os.urandom(4).hex()}", {}), field: schema}
                answer = await tenant.call("POST", CAPABILITIES, json=body)
                expect(answer.status_code in {200, 400}, f"{name}: {answer.status_code} {answer.text[:200]}")
                if answer.is_success:
                    accepted.add(name)
        patterns = {"x": {"pattern": "^(a+)+$"}}
        slow = capability("backtracks", {"properties": patterns, "patternProperties": {"(x+x+)+y": False}})
        await tenant.ask("POST", CAPABILITIES, json=slow)
        need = {"modality": "MODALITY_TOOL", "task_type": "soak", "params": {"x": text, text: 1}}
        for path, asked in (
            (f"{CAPABILITIES}:find", {"requirements": need}),
            (SELECTIONS, {"requirements": need, "dry_run": True}),
        ):
            answer = await tenant.call("POST", path, json=asked)
            expect(answer.status_code < 500, f"{path}: {answer.status_code} {answer.text[:200]}")
    expect(len(site.received) == seen, f"fetched: {[each.path for each in site.received[seen:]]}")
    expect(accepted <= _ACCEPTED, f"accepted: {accepted}")
    return f"nothing fetched, {'; '.join(map(str, watches))}"


async def revoked(world: World) -> str:
    """16: a service that starts while the gateway is away does not take a revoked key back."""
    tenant = await world.tenant("revoked")
    made = await tenant.ask("POST", "/v1/api-keys", json={"display_name": "gone", "roles": ["viewer"]})
    identity = {"authorization": f"Bearer {made['secret']}"}
    token = (await tenant.ask("POST", "/v1/token", json={}, headers=identity))["token"]

    async def answered() -> grpc.StatusCode:
        async with world.rig.direct("assets") as channel:
            stub = asset_service_pb2_grpc.AssetServiceStub(channel)
            try:
                await stub.ListAssets(
                    asset_service_pb2.ListAssetsRequest(), metadata=[("authorization", f"Bearer {token}")], timeout=10
                )
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK

    expect(await answered() is grpc.StatusCode.OK, "the token did not work before")
    await tenant.call("DELETE", f"/v1/api-keys/{made['key_id']}")

    async def refused() -> bool:
        return await answered() is grpc.StatusCode.UNAUTHENTICATED

    await eventually(refused)
    seen = set[grpc.StatusCode]()
    with world.rig.paused("gateway"):
        os.kill(world.rig.context_pid("assets"), signal.SIGKILL)
        for _ in range(20):
            await asyncio.sleep(0.5)
            seen.add(await answered())
    expect(grpc.StatusCode.OK not in seen, "the service took the revoked key back")
    await _served(world, "assets")
    return f"after its restart beside a stopped gateway: {', '.join(sorted(code.name for code in seen))}"


async def _served(world: World, context: str) -> None:
    async def again() -> bool:
        return (await world.innocent.call("GET", ROUTES[context], params={"page_size": 1})).is_success

    await eventually(again)


async def names_of_others(world: World) -> str:
    """33: ids of another tenant's capabilities, and ids that the platform ships."""
    hostile, innocent, name = world.hostile, world.innocent, f"n{os.urandom(4).hex()}"
    await innocent.ask("POST", CAPABILITIES, json=capability(name, {}))
    answer = await hostile.call("POST", CAPABILITIES, json=capability(name, {"title": "mine"}))
    expect(answer.is_success, f"the id of another tenant was told apart: {answer.status_code} {answer.text[:200]}")
    for path in (f"{name}2@hostile", f"{name}@hostile"):
        answer = await hostile.call("GET", f"{CAPABILITIES}/{path}", params={"owner_tenant_id": innocent.tenant_id})
        expect(answer.status_code in {403, 404}, f"{path} of another tenant: {answer.status_code}")
    mine = await innocent.ask("GET", f"{CAPABILITIES}/{name}@hostile")
    expect("title" not in mine.get("input_schema", {}), "the tenants share a capability")
    taken = {
        "tool_id": "mermaid", "provider": "local", "kind": "CAPABILITY_KIND_TOOL", "lifecycle": "LIFECYCLE_DISABLED",
        "modalities": ["MODALITY_DIAGRAM"], "task_types": ["image_diagram"],
    }  # fmt: skip
    squatted = await hostile.call("POST", CAPABILITIES, json=taken)
    need = {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram"}
    found = await innocent.ask("POST", f"{CAPABILITIES}:find", json={"requirements": need})
    ids = [each["capability_id"] for each in found["candidates"]]
    expect("mermaid@local" in ids, f"mermaid@local is gone for others: {ids}")
    return f"private ids are each tenant's own; a platform id registered as DISABLED: {squatted.status_code}"


_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, c.relforcerowsecurity OR c.relispartition AS forced
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND EXISTS (
  SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('tenant_id', 'owner_tenant_id'))
"""


async def rows(world: World) -> str:
    """34: a session that says no tenant sees no row of any."""
    looked = 0
    for context in ROUTES:
        connection = await asyncpg.connect(world.rig.variable(f"SA01_{context.upper()}_POSTGRES_DSN"))
        try:
            for table in await connection.fetch(_TABLES, context):
                expect(table["forced"], f"{table['name']} does not force row-level security")
                seen = await _seen(connection, table["name"])
                expect(not seen, f"{seen} rows of {table['name']} are seen without a tenant")
                looked += 1
        finally:
            await connection.close()
    return f"no row of {looked} tables with a tenant is seen without one"


async def _seen(connection: asyncpg.Connection, table: str) -> int:
    """How many rows of a table are seen; none where it may not be read: a part of a table that is cut by month."""
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    except asyncpg.InsufficientPrivilegeError:
        return 0


SCENARIOS = (
    Scenario(
        1, "credential_path of another tenant by UpdateCapability", "refused; no key of another tenant leaves",
        "tests/unit/mesh/rpc/test_update_masks.py::"
        "test_every_text_of_a_resource_is_refused_in_an_update_where_its_rules_refuse_it",
        other_keys,
    ),
    Scenario(
        6, "schemas that fetch or take time", "refused or checked in time; nothing fetched",
        "tests/unit/registry/test_schemas.py::test_a_schema_that_cannot_be_bounded_is_refused_at_registration", schemas,
    ),
    Scenario(
        16, "a revoked key and a service that starts without the gateway", "never accepted",
        "tests/integration/mesh/test_start_without_gateway.py::"
        "test_with_the_last_signed_sets_on_disk_existing_keys_that_are_not_revoked_pass", revoked, apart=True,
    ),
    Scenario(
        18, "a connection of one name used for another", "each name proves itself",
        "tests/unit/soma_providers/test_egress_connections.py::"
        "test_a_name_proves_itself_though_another_has_a_connection_to_the_same_address",
        why="two names at one address need a resolver and certificates that the executor trusts",
    ),
    Scenario(
        33, "ids of private capabilities across tenants", "told to nobody, taken from nobody",
        "tests/unit/registry/test_owners.py::"
        "test_what_ships_later_is_active_whatever_a_tenant_did_with_its_id", names_of_others,
    ),
    Scenario(
        34, "rows without row-level security", "no row without a tenant",
        "tests/integration/contexts/test_row_level_security.py::test_every_table_is_of_tenants_or_has_a_reason", rows,
    ),
)  # fmt: skip
