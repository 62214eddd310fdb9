"""What an attempt may cost is reserved, whatever its step type is and wherever its limits are written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soma_providers.openai_chat import adapter as openai_chat
from soma_providers.port import JsonValue, text_estimate
from svc_executor.domain.inputs import call_params
from svc_executor.domain.selection_requests import estimate_request_of
from tests.conformance import harness
from tests.unit.executor.rig import Candidate, Rig, capability, compiler, plan, task
from tests.unit.executor.test_run_steps import Run


def writer(tool: str, price: int, max_tokens: int) -> Candidate:
    """A model that writes at length unless it is told otherwise."""
    model = replace(capability(tool, "remote"), default_parameters={"max_tokens": max_tokens})
    return Candidate("text_chat", model, prices={"output_tokens": price})


async def asked(*writers: Candidate, cap_micro_usd: int | None = None) -> tuple[Run, bool]:
    """A run whose text was asked for, and whether a writer was chosen."""
    rig = Rig(candidates=writers, cap_micro_usd=cap_micro_usd)
    run = await Run.of(task("a", "generate_text", params={"prompt": "x"}), rig=rig)
    return run, (await run.steps.select(run.select("a"))).has_capability


@pytest.mark.parametrize("step_type", ["generate_text", "analyze_image"])
@pytest.mark.parametrize("most", [None, 1, 5_000])
@pytest.mark.parametrize("param", [None, 64, 128_000])
@pytest.mark.parametrize("default", [None, 64, 8_192])
def test_the_longest_answer_that_a_provider_is_asked_for_was_reserved(
    step_type: str, most: int | None, param: int | None, default: int | None
) -> None:
    defaults: dict[str, JsonValue] = {"max_tokens": default} if default else {}
    params: dict[str, JsonValue] = {"prompt": "A door", **({"max_tokens": param} if param else {})}
    constraints: dict[str, JsonValue] = {"max_output_tokens": most} if most else {}
    made = task("a", step_type, params=params, constraints=constraints)
    only = compiler().compile(plan(made)).tasks[0]
    given = call_params(only, only.params, defaults)
    sent = openai_chat._request(harness.invocation(given, model="m", endpoint="https://m.example/v1"))["max_tokens"]
    assert isinstance(sent, int)
    assert sent <= (most or 128_000) or (step_type, param, default) == ("analyze_image", None, None)
    model = replace(capability("m", "openai"), default_parameters=defaults)
    reserved = text_estimate(estimate_request_of(only, only.params, (), model)).output_tokens
    assert reserved >= sent


async def test_a_provider_is_asked_for_no_more_tokens_than_the_plan_allows() -> None:
    made = task(
        "a", "generate_text", params={"prompt": "x", "max_tokens": 128_000}, constraints={"max_output_tokens": 1}
    )
    run = await Run.of(made)
    await run.steps.select(run.select("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    (call,) = run.rig.calls("talker")
    assert call.params["max_tokens"] == 1


async def test_what_a_capability_does_by_default_is_reserved() -> None:
    run, made = await asked(writer("verbose", 8, 8_192))
    assert made
    assert list(run.rig.selector.reserved.values()) == [8 * 8_192]
    (execution,) = (await run.describe()).executions
    assert execution.reserved_micro_usd == 8 * 8_192


async def test_a_capability_without_defaults_is_asked_for_once() -> None:
    run, _ = await asked(Candidate("text_chat", capability("brief", "remote"), prices={"output_tokens": 8}))
    assert (list(run.rig.selector.reserved.values()), run.rig.selector.released) == ([8 * 1_024], set())


async def test_a_capability_whose_defaults_the_budget_does_not_bear_is_not_chosen() -> None:
    run, made = await asked(writer("verbose", 8, 8_192), cap_micro_usd=8 * 8_191)
    assert not made
    assert run.rig.selector.reserved == {}


async def test_the_defaults_of_what_is_chosen_instead_are_reserved_too() -> None:
    run, _ = await asked(writer("dear", 80, 8_192), writer("longer", 8, 16_384), cap_micro_usd=80 * 8_191)
    (execution,) = (await run.describe()).executions
    assert (execution.capability.tool_id, execution.reserved_micro_usd) == ("longer", 8 * 16_384)
    assert list(run.rig.selector.reserved.values()) == [8 * 16_384]
