"""Money: each paid call is made once and booked at what it cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.scenarios.scenario import Scenario, WrongError, expect
from tests.scenarios.world import JOBS, SELECTIONS, SLOW, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.scenarios.world import Json, World

_AWAY_S = 15.0
_CALL_MICRO_USD = (21 + 9) * 1_000
"""What the provider counts for an answer, at the prices of `World.paid`."""


def _words(capability: Json, **params: object) -> dict[str, object]:
    return {
        "task_id": "a", "step_type": "generate_text", "task_type": capability["task_types"][0],
        "params": {"prompt": f"about {capability['tool_id']}", **params},
    }  # fmt: skip


async def store_away(world: World) -> str:
    """2: the asset store answers nobody while a picture that was paid for is to be stored."""
    tenant, capability = world.hostile, await world.paid(world.hostile, "gpt-image-1", picture=True)
    about = f"picture {capability['tool_id']}"
    step = {
        "task_id": "a", "step_type": "generate_image", "task_type": capability["task_types"][0],
        "params": {"prompt": about, "shape": "square", "quality": "low"}, "quality_gate": {"enabled": False},
    }  # fmt: skip

    with world.rig.paused("assets"):
        job_id = await tenant.submit(step)
        await world.called(tenant, job_id, about)
        await asyncio.sleep(_AWAY_S)
    job = await tenant.ended(job_id)
    calls, cost = len(world.provider.calls(about)), int(job["cost_micro_usd"])
    expect(job["state"] == "JOB_STATE_COMPLETED", f"the job ended {job['state']}: {job['message']}")
    expect((calls, cost) == (1, 1_000), f"{calls} calls of 1,000 each, booked {cost}")
    return "paid once, booked once, stored once the store was back"


async def failed_after(world: World) -> str:
    """3: answers that are cut, are no JSON or are empty, and a job that is cancelled during its call."""
    tenant, told = world.hostile, list[str]()
    schema = {"type": "object"}
    for name, text, finish, params in (
        ("cut", "{", "length", {"json_schema": schema, "max_tokens": 1}),
        ("no JSON", "no object", "stop", {"json_schema": schema}),
        ("nothing", " ", "stop", {}),
        ("refused", "x", "content_filter", {}),
    ):
        capability = await world.paid(tenant, "gpt-4.1")
        with world.provider.answering(text, finish):
            job = await tenant.run(_words(capability, **params))
        # Of calls under one key the provider makes one: it gives the same answer again.
        keys = {each.headers["idempotency-key"] for each in world.provider.calls(f"about {capability['tool_id']}")}
        cost = int(job["cost_micro_usd"])
        expect(job["state"] == "JOB_STATE_FAILED", f"{name}: the job ended {job['state']}")
        expect(cost >= len(keys) * _CALL_MICRO_USD, f"{name}: {len(keys)} calls paid, {cost} booked")
        told.append(f"{name} {len(keys)} × {_CALL_MICRO_USD} → {cost}")
    told.append(await _cancelled(world))
    return ", ".join(told)


async def _cancelled(world: World) -> str:
    tenant, capability = world.hostile, await world.paid(world.hostile, SLOW)

    async def booked() -> bool:
        return all(int(each["cost_micro_usd"]) > 0 for each in await tenant.attempts(job_id))

    with world.provider.held():
        job_id = await tenant.submit(_words(capability, max_tokens=100))
        await world.called(tenant, job_id, f"about {capability['tool_id']}")
        await tenant.ask("POST", f"{JOBS}/{job_id}:cancel", json={})
        await tenant.ended(job_id)
    try:
        async with asyncio.timeout(60):
            await eventually(booked)
    except TimeoutError:
        raise WrongError("cancelled during its call: nothing is booked") from None
    return f"cancelled → {(await tenant.attempts(job_id))[0]['cost_micro_usd']}"


_TEXT, _DIAGRAM, _SHOT = "generate_text", "generate_diagram", "capture_screenshot"


def _chart(kind: str, title: str, x: Sequence[object], y: Sequence[float]) -> dict[str, object]:
    series = [{"name": "s", "x": x, "y": y}]
    return {
        "step_type": _DIAGRAM,
        "task_type": "chart",
        "params": {"chart": {"kind": kind, "title": title, "series": series}},
    }


_ODD: Sequence[dict[str, object]] = (
    {"step_type": _TEXT, "params": {"prompt": "x", "seed": 1e308}},
    {"step_type": _TEXT, "params": {"prompt": "x", "max_tokens": -1e300}},
    {"step_type": _TEXT, "params": {"points": [{}]}},
    {"step_type": _TEXT, "params": {"prompt": "x", "json_schema": {"$ref": "#"}}},
    {"step_type": _TEXT, "params": {"prompt": "x", "json_schema": {"properties": {"a": 7}}}},
    _chart("bar", "t", ["a", "b"], [1e308, -1e308]),
    _chart("line", "$\\frac{", [1, 1e300], [1, 2]),
    {"step_type": _DIAGRAM, "params": {"diagram": {"kind": "flow", "nodes": 7, "edges": {}}}},
    {"step_type": "synthesize_speech", "params": {"text": "\ufffe\u202e" * 50}},
    {"step_type": _SHOT, "params": {"url": "https://[::1"}},
    {"step_type": _SHOT, "params": {"url": "https://" + "a" * 300 + ".example"}},
    {"step_type": "transform_asset", "params": {"operations": [{"op": "resize", "width": 1e300}]}},
    {"step_type": "compose_document", "params": {"title": "t", "sections": [{"id": 1}]}},
)


async def defects(world: World) -> str:
    """29: inputs that an adapter was not written for end their job at once, none is tried for an hour."""
    tenant = world.hostile
    jobs = [await tenant.submit({"task_id": "a", **step}) for step in _ODD]
    ended = await asyncio.gather(*map(tenant.ended, jobs))
    attempts = [len(await tenant.attempts(job_id)) for job_id in jobs]
    expect(max(attempts) <= 6, f"attempts: {attempts}")
    states = sorted({job["state"].removeprefix("JOB_STATE_") for job in ended})
    inner = [job["message"] for job in ended if "INTERNAL" in job["message"] or "Traceback" in job["message"]]
    expect(not inner, f"defects: {inner}")
    return f"{len(ended)} jobs ended {', '.join(states).lower()}, with {max(attempts)} attempts at most"


async def infinite(world: World) -> str:
    """35: units that are no finite number, and prices that overflow."""
    tenant, statuses = world.hostile, list[int]()
    need = {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram"}
    capability = await world.paid(tenant, "gpt-4.1")
    text = {"modality": "MODALITY_TEXT", "task_type": capability["task_types"][0]}
    for requirements in (need, text):
        for units in (
            *({"seconds": value} for value in ("Infinity", "-Infinity", "NaN", 1e300, -1)),
            {"calls": 2**32 - 1, "input_tokens": 2**32 - 1},
            {"input_tokens": 1_000_000_000, "output_tokens": 1_000_000_000, "calls": 1_000_000, "images": 1_000_000},
        ):
            body = {"requirements": requirements, "estimated_units": units, "dry_run": True}
            answer = await tenant.call("POST", SELECTIONS, json=body)
            statuses.append(answer.status_code)
            expect(answer.status_code < 500, f"{units}: {answer.status_code} {answer.text[:200]}")
        for value in ("Infinity", "NaN", -1):
            body = {"requirements": {**requirements, "duration_seconds": value}, "dry_run": True}
            answer = await tenant.call("POST", SELECTIONS, json=body)
            expect(answer.status_code == 400, f"duration_seconds {value}: {answer.status_code}")
    budget = await tenant.call("PUT", "/v1/budgets", json={"budget": {"cap_micro_usd": "9223372036854775807"}})
    expect(budget.status_code < 500, f"a budget of 2^63: {budget.status_code}")
    return f"no failure: {sorted(set(statuses))}"


SCENARIOS = (
    Scenario(
        2, "a paid call while the asset store is away", "called once, booked once",
        "tests/unit/executor/test_paid_once.py::"
        "test_a_result_is_bought_once_while_the_asset_store_is_away", store_away, apart=True,
    ),
    Scenario(
        3, "what was paid for when the attempt fails afterwards", "booked at what it cost",
        "tests/unit/executor/test_true_cost.py::test_an_answer_without_a_result_is_paid_for", failed_after, bound_s=400,
    ),
    Scenario(
        29, "defects that were tried for an hour", "the job ends at once",
        "tests/integration/executor/test_always_closes.py::test_a_defect_ends_the_step_at_once_with_its_kind", defects,
        bound_s=400,
    ),
    Scenario(
        35, "estimated_units that are infinite", "refused, never INTERNAL",
        "tests/contract/selector/test_select_bounds.py::test_a_number_that_is_absurd_is_refused_by_name", infinite,
    ),
)  # fmt: skip
