"""Data: nothing is lost, nothing outlives its erasure, nothing stands still."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import psutil

from mesh.identity import Claims
from soma.registry.v1 import capability_pb2, capability_service_pb2, capability_service_pb2_grpc
from tests.bench.soak.hostile import capability
from tests.bench.soak.normal_tenant import CHART
from tests.scenarios.scenario import Scenario, expect
from tests.scenarios.world import ASSETS, CAPABILITIES, JOBS, SELECTIONS, SLOW, eventually

if TYPE_CHECKING:
    from tests.scenarios.world import Tenant, World

_AT_ONCE = 8
_PAUSE_S = 8.0
_PICTURE = {"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}
_NEED = {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram"}
_EXECUTOR = Claims(tenant_id="soma", subject="executor", roles=("service",))


async def bus_gone(world: World) -> str:
    """4: events go on when the bus lost its memory, those before and those after."""
    tenant = world.innocent
    jobs = [(await tenant.run(_PICTURE))["job_id"]]
    await world.kill("valkey")
    jobs.append((await tenant.run(_PICTURE))["job_id"])

    async def told() -> bool:
        answers = [await tenant.call("GET", f"/v1/admin/receipts/{job_id}") for job_id in jobs]
        return all(answer.is_success and answer.json()["complete"] for answer in answers)

    await eventually(told)
    return "both jobs have whole receipts"


def _blobs(world: World) -> int:
    return sum(1 for file in world.rig.home.blobs.rglob("*") if file.is_file())


async def erased(world: World) -> str:
    """5: bytes that were uploaded many times at once go with their erasure."""
    tenant, content = world.hostile, b"erase " + os.urandom(200_000).hex().encode()
    before = _blobs(world)
    answers = await asyncio.gather(*(tenant.upload(content) for _ in range(_AT_ONCE)))
    expect(all(each.is_success for each in answers), f"{[each.status_code for each in answers]}")
    ids = {each.json()["asset_id"] for each in answers}
    expect(len(ids) == 1, f"{len(ids)} assets of the same bytes")
    (asset_id,) = ids
    await tenant.ask("POST", f"{ASSETS}/{asset_id}:erase", json={"reason": "scenario"})
    read = await tenant.call("GET", f"{ASSETS}/{asset_id}")
    expect(not read.is_success, "the bytes can still be read")

    async def gone() -> bool:
        return _blobs(world) <= before

    await eventually(gone)
    return f"{_AT_ONCE} uploads, one asset, no blob left"


async def database_stops(world: World) -> str:
    """9: a run that is overdue while its step is skipped, and the database answers nobody."""
    tenant = world.hostile
    job_id = await tenant.submit(
        {"task_id": "a", "step_type": "generate_text", "task_type": "nobody_serves", "on_failure": "SKIP"},
        {**_PICTURE, "task_id": "b"},
        budget={"max_duration_sec": 3},
    )
    with world.stopped("postgres"):
        await asyncio.sleep(_PAUSE_S)
    job = await tenant.ended(job_id)
    return f"the job ended {job['state'].removeprefix('JOB_STATE_').lower()}"


async def followed(world: World) -> str:
    """10: the registry and the selector follow changes after the database broke every connection."""
    tenant, name = world.innocent, f"f{os.urandom(4).hex()}"
    made = await tenant.ask("POST", CAPABILITIES, json={**capability(name, {}), "task_types": [name]})
    need = {"modality": "MODALITY_TOOL", "task_type": name}
    first = await tenant.ask("POST", SELECTIONS, json={"requirements": need, "dry_run": True})
    expect(_chosen(first) == made["capability_id"], f"{_chosen(first)} was chosen before")
    children = psutil.Process(world.rig.pid("postgres")).children()
    served = [child for child in children if "registry" in " ".join(child.cmdline())]
    expect(served, "no connection of the registry was found")
    os.kill(served[0].pid, signal.SIGKILL)  # Postgres ends all others, too, and starts again

    async def disabled() -> bool:
        answer = await tenant.call("POST", f"{CAPABILITIES}/{made['capability_id']}:disable", json={})
        return answer.is_success

    async def heard() -> bool:
        found = await tenant.call("POST", f"{CAPABILITIES}:find", json={"requirements": need})
        chosen = await tenant.call("POST", SELECTIONS, json={"requirements": need, "dry_run": True})
        return found.is_success and not found.json().get("candidates") and not _chosen(chosen.json())

    await eventually(disabled)
    await eventually(heard)
    return "what was disabled afterwards is found and chosen no more"


def _chosen(answer: dict[str, object]) -> str:
    chosen = answer.get("chosen")
    return str(chosen.get("capability_id", "")) if isinstance(chosen, dict) else ""


async def selected_twice(world: World) -> str:
    """11: a selection is repeated whose parameters hold what is redacted."""
    tenant = world.innocent
    secrets = ("jane.doe@example.com", "4111 1111 1111 1111", "sk-" + "a1B2" * 8, "DE89370400440532013000")
    for secret in secrets:
        body = {
            "requirements": {**_NEED, "params": {"prompt": f"Write to {secret} about it"}},
            "request_id": os.urandom(8).hex(),
        }
        first, again = [await tenant.ask("POST", SELECTIONS, json=body) for _ in range(2)]
        expect(first["selection_id"] == again["selection_id"], f"{secret}: another selection")
        other = await tenant.call("POST", SELECTIONS, json={**body, "estimated_units": {"calls": 7}})
        expect(other.status_code == 409, f"another request of this id: {other.status_code} {other.text[:200]}")
    return f"{len(secrets)} selections repeated; another request of the same id is refused"


async def classified(world: World) -> str:
    """22: the stricter classification stays, and a tenant's member takes nothing from a job."""
    tenant, content = world.innocent, b"classified " + os.urandom(400).hex().encode()
    for kind in ("public", "confidential", "public"):
        answer = await tenant.upload(content, classification=kind)
    asset_id = answer.json()["asset_id"]
    kept = (await tenant.ask("GET", f"{ASSETS}/{asset_id}/metadata"))["classification"]
    expect(kept == "confidential", f"kept as {kept}")
    told = [await _holders(world, tenant), await _requests(tenant)]
    return f"kept as confidential; {'; '.join(told)}"


async def _holders(world: World, tenant: Tenant) -> str:
    job = await tenant.run(_PICTURE)
    asset_id = job["steps"][0]["asset_ids"][0]
    path = f"{ASSETS}/{asset_id}"
    read = await tenant.call("GET", path)
    other = await world.another_key(tenant)
    again = await other.upload(read.content, read.headers["content-type"].partition(";")[0])
    expect(again.json()["asset_id"] == asset_id, "the same bytes are another asset")
    await other.call("DELETE", path)
    expect((await tenant.call("GET", path)).is_success, "a member's delete took it from the job")
    return "the job keeps what a member gave up"


async def _requests(tenant: Tenant) -> str:
    name = os.urandom(8).hex()
    content = b"once " + os.urandom(400).hex().encode()
    first = await tenant.upload(content, request_id=name)
    await tenant.ask("POST", f"{ASSETS}/{first.json()['asset_id']}:erase", json={})
    again = await tenant.upload(content, request_id=name)
    expect(not again.is_success, "an upload that was erased is answered as a success")
    name = os.urandom(8).hex()
    bodies = [b"race " + os.urandom(400).hex().encode() for _ in range(_AT_ONCE)]
    raced = await asyncio.gather(*(tenant.upload(body, request_id=name) for body in bodies))
    good = [each for each in raced if each.is_success]
    expect(len(good) == 1, f"{len(good)} uploads of different bytes under one request id")
    return f"after erasure {again.status_code}, of {_AT_ONCE} different uploads under one id one is stored"


async def health_kept(world: World) -> str:
    """24: an edit keeps the health that was reported."""
    tenant, name = world.innocent, f"h{os.urandom(4).hex()}"
    made = await tenant.ask("POST", CAPABILITIES, json=capability(name, {}))
    path, token = f"{CAPABILITIES}/{made['capability_id']}", await world.rig.token(_EXECUTOR)
    report = capability_service_pb2.ReportHealthRequest(
        capability_id=made["capability_id"], owner_tenant_id=tenant.tenant_id, circuit_open=True, reporter="scenario",
        state=capability_pb2.HEALTH_STATE_UNHEALTHY, reason="scenario", confirm_within_seconds=600,
    )  # fmt: skip
    async with world.rig.direct("registry") as channel:
        stub = capability_service_pb2_grpc.CapabilityServiceStub(channel)
        edits = [
            tenant.ask("PATCH", path, params={"update_mask": "display_name"}, json={**made, "display_name": f"n{each}"})
            for each in range(_AT_ONCE)
        ]
        await asyncio.gather(
            stub.ReportHealth(report, metadata=[("authorization", f"Bearer {token}")], timeout=60),
            *edits,
            return_exceptions=True,
        )
    health = (await tenant.ask("GET", path))["health"]
    expect(health.get("circuit_open"), f"an edit undid the report: {health}")
    return "the circuit stays open through edits at the same time"


async def owner_revoked(world: World) -> str:
    """28: what a job made goes, though the key that it was submitted with was revoked."""
    tenant = await world.tenant("leaving")
    slow = await world.paid(tenant, SLOW)
    made = await tenant.ask("POST", "/v1/api-keys", json={"display_name": "gone", "roles": ["member", "viewer"]})
    identity = {"authorization": f"Bearer {made['secret']}"}
    waits = {
        "task_id": "b", "step_type": "generate_text", "task_type": slow["task_types"][0], "depends_on": ["a"],
        "params": {"prompt": f"about {slow['tool_id']}", "max_tokens": 1},
    }  # fmt: skip
    picture = {**_PICTURE, "params": {"chart": {**CHART["chart"], "title": os.urandom(4).hex()}}}
    body = {"plan": {"version": "1.0", "tasks": [picture, waits]}, "request_id": os.urandom(8).hex()}

    async def held() -> list[str]:
        listed = await tenant.ask("GET", ASSETS, params={"job_id": job_id})
        return [each["asset_id"] for each in listed.get("assets", [])]

    async def released() -> bool:
        return not await held()

    with world.provider.held():
        job_id = (await tenant.ask("POST", JOBS, json=body, headers=identity))["job_id"]
        await world.called(tenant, job_id, f"about {slow['tool_id']}")
        expect(await held(), "the job holds nothing")
        await tenant.call("DELETE", f"/v1/api-keys/{made['key_id']}")
        await tenant.ask("POST", f"{JOBS}/{job_id}:cancel", json={})
    job = await tenant.ended(job_id)
    await eventually(released)
    return f"the job ended {job['state'].removeprefix('JOB_STATE_').lower()} and holds nothing"


SCENARIOS = (
    Scenario(
        4, "the outbox after the bus lost its memory", "every event arrives",
        "tests/integration/mesh/events/test_resending.py::test_a_new_event_is_sent_before_all_old_ones_were_sent_again",
        bus_gone,
    ),
    Scenario(
        5, "bytes after their erasure", "no bytes are left",
        "tests/contract/assets/test_sweeps.py::"
        "test_the_loser_of_a_race_that_crashes_anywhere_leaves_nothing_once_it_is_swept", erased,
    ),
    Scenario(
        9, "a run that is overdue while it skips a step", "the job ends",
        "tests/integration/executor/test_always_closes.py::test_a_run_that_is_overdue_while_it_skips_a_step_is_closed",
        database_stops,
    ),
    Scenario(
        10, "following changes after the database was away", "changes are served",
        "tests/integration/registry/test_following.py::test_changes_are_served_again_after_the_connections_broke",
        followed,
    ),
    Scenario(
        11, "a repeated selection with personal data", "its first answer",
        "tests/contract/selector/test_select_requests.py::"
        "test_a_repeat_is_answered_with_the_first_choice", selected_twice,
    ),
    Scenario(
        20, "the end of a job told by a clock that is behind", "traces and receipts end",
        "tests/contract/provenance/test_order.py::test_the_end_of_a_job_holds_though_its_clock_is_behind",
        why="needs replicas whose clocks differ",
    ),
    Scenario(
        22, "classification and holders of bytes that are there already", "the strictest, and each holder's own",
        "tests/contract/assets/test_holds.py::test_a_duplicate_keeps_the_strictest_classification", classified,
    ),
    Scenario(
        24, "an edit of a capability and a health report", "the report stays",
        "tests/contract/registry/test_store.py::test_an_edit_leaves_health_as_it_is", health_kept,
    ),
    Scenario(
        25, "a resumed registry stream without changes", "fresh while it is connected, stale when it is not",
        "tests/unit/selector/test_registry_watch.py::test_a_resumed_stream_without_changes_makes_the_view_fresh",
        why="needs a stream that is resumed in silence for five minutes",
    ),
    Scenario(
        26, "an older row read after a newer one", "never published",
        "tests/unit/registry/test_following.py::test_an_older_row_is_not_published_over_a_newer_one",
        why="needs a read that is held between two writes",
    ),
    Scenario(
        27, "an upload that ends while the reconciler claims it", "never committed without bytes",
        "tests/contract/assets/test_sweeps.py::test_an_upload_that_a_sweep_claimed_is_never_committed",
        why="needs an upload of more than fifteen minutes",
    ),
    Scenario(
        28, "assets of jobs whose key was revoked", "released",
        "tests/unit/executor/test_sweeps.py::test_undoings_are_done_by_the_executor_itself", owner_revoked,
    ),
)  # fmt: skip
