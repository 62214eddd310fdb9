"""A poison event becomes a dead letter, and people decide about it through the edge and on the command line."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.ids import SystemIds

if TYPE_CHECKING:
    import httpx

    from tests.e2e.conftest import RunningMesh

WAIT_S = 60.0
POISON = """
INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                    correlation_id, traceparent)
VALUES ($1::text::uuid, 'dev', 'soma.events.v1.JobChanged', 'executor.events', $1::text, now(), '\\xffff', 1, '',
        'poisoned', '')
"""


@pytest.fixture
def dead_letter(mesh: RunningMesh, api: httpx.Client) -> dict[str, Any]:
    """A dead letter of an event whose payload is not what its envelope says."""
    event_id = SystemIds().new()

    async def plant() -> None:
        connection = await asyncpg.connect(mesh.variable("SA01_EXECUTOR_POSTGRES_DSN"))
        async with connection.transaction():
            await connection.execute("SELECT set_config('soma.tenant_id', 'dev', true)")
            await connection.execute("SET LOCAL search_path = executor")
            await connection.execute(POISON, event_id)
        await connection.close()

    asyncio.run(plant())
    deadline = SystemClock().monotonic() + WAIT_S
    while True:
        listed = api.get("/v1/admin/dlq", params={"correlation_id": "poisoned"}).json()["dead_letters"]
        for found in listed:
            if found["event_id"] == event_id:
                return dict(found)
        assert SystemClock().monotonic() < deadline, "the poison did not become a dead letter"


def test_what_cannot_be_read_waits_for_a_decision(dead_letter: dict[str, Any], api: httpx.Client) -> None:
    assert dead_letter["state"] == "DEAD_LETTER_STATE_EXHAUSTED"
    assert (dead_letter["cause"], dead_letter["topic"]) == ("DEAD_LETTER_CAUSE_MALFORMED", "executor.events")
    path = f"/v1/admin/dlq/{dead_letter['dlq_id']}"
    assert "payload" not in api.get(path).json() or api.get(path).json()["payload"] is None
    refused = api.post(f"{path}:requeue", json={})
    assert refused.status_code == 400
    assert refused.json()["details"][0]["reason"] == "FAILED_PRECONDITION"
    many = api.post("/v1/admin/dlq:requeue", json={"dlq_ids": [dead_letter["dlq_id"]]}).json()
    assert (many["requeued"], many["left"]) == (0, 1)
    gone = api.post(f"{path}:discard", json={"reason": "a test planted it"}).json()
    assert (gone["state"], gone["reason"]) == ("DEAD_LETTER_STATE_DISCARDED", "a test planted it")


def test_a_discard_needs_a_reason(dead_letter: dict[str, Any], api: httpx.Client) -> None:
    refused = api.post(f"/v1/admin/dlq/{dead_letter['dlq_id']}:discard", json={"reason": ""})
    assert refused.status_code == 400
    assert refused.json()["details"][1]["field_violations"][0]["field"] == "reason"


def test_a_stranger_finds_no_dead_letter(dead_letter: dict[str, Any], mesh: RunningMesh, stranger: str) -> None:
    with mesh.client(stranger) as other:
        path = f"/v1/admin/dlq/{dead_letter['dlq_id']}"
        assert other.get(path).status_code == 404
        assert other.post(f"{path}:discard", json={"reason": "mine"}).status_code == 404
        assert other.get("/v1/admin/dlq").json()["dead_letters"] == []
        assert other.get("/v1/admin/dlq", params={"platform": "true"}).status_code == 403


def test_the_command_line_lists_shows_and_discards(dead_letter: dict[str, Any], mesh: RunningMesh) -> None:
    listed = json.loads(mesh.soma("dlq", "list", "--state", "exhausted", "--json").stdout)
    assert dead_letter["dlq_id"] in {found["dlq_id"] for found in listed["dead_letters"]}
    assert dead_letter["dlq_id"] in mesh.soma("dlq", "show", dead_letter["dlq_id"]).stdout
    assert json.loads(mesh.soma("dlq", "requeue", dead_letter["dlq_id"], "--json").stdout)["left"] == 1
    done = mesh.soma("dlq", "discard", dead_letter["dlq_id"], "--reason", "a test planted it", "--json")
    assert json.loads(done.stdout)["state"] == "DEAD_LETTER_STATE_DISCARDED", done.stderr
