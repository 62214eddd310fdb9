"""What an attempt may cost is reserved, whatever its step type is and wherever its limits are written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from soma_providers.openai_chat import adapter as openai_chat
from soma_providers.port import JsonValue, Usage
from soma_providers.runtime.manifests import installed
from svc_executor.domain.inputs import for_call
from svc_executor.domain.pricing import cost_micro_usd, greatest_cost
from svc_executor.domain.task_dsl import KINDS
from tests.conformance import harness
from tests.unit.executor.rig import Rig, Rung, chosen, compiler, plan, task
from tests.unit.executor.test_run_steps import Run
from tests.unit.executor.test_selection_requests import selection_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.job import SelectedCapability

MANIFESTS = installed()
PRICED = [
    (step_type.value, manifest.fields)
    for step_type, kind in KINDS.items()
    for manifest in MANIFESTS
    if manifest.fields.get("price_list") and f"MODALITY_{kind.modality.upper()}" in str(manifest.fields["modalities"])
]


def writer(tool: str, price: int, max_tokens: int) -> SelectedCapability:
    """A model that writes at length unless it is told otherwise."""
    return replace(chosen(tool, "remote", output_token=price), default_parameters={"max_tokens": max_tokens})


async def asked(*writers: SelectedCapability, cap_micro_usd: int | None = None) -> tuple[Run, bool]:
    """A run whose text was asked for, and whether a writer was chosen."""
    rig = Rig(rungs=tuple(Rung("text_chat", each) for each in writers), cap_micro_usd=cap_micro_usd)
    run = await Run.of(task("a", "generate_text", params={"prompt": "x"}), rig=rig)
    return run, (await run.steps.select(run.select("a"))).made


@pytest.mark.parametrize(
    ("step_type", "fields"), PRICED, ids=[f"{step_type}-{fields['tool_id']}" for step_type, fields in PRICED]
)
def test_no_step_gets_a_priced_capability_for_nothing(step_type: str, fields: Mapping[str, Any]) -> None:
    need_of_step = selection_request(step_type, task_type=fields["task_types"][0], params={"prompt": "A door"})
    usage = Usage(1, need_of_step.input_tokens, need_of_step.output_tokens, need_of_step.images)
    assert fields["price_list"]["prices"]
    for price in fields["price_list"]["prices"]:
        unit = price["unit"].removeprefix("PRICE_UNIT_").lower()
        assert cost_micro_usd({unit: price["micro_usd"]}, {}, usage) > 0, unit


def test_what_has_a_price_costs_something_though_none_of_its_units_is_known() -> None:
    unknown = selection_request("transcribe_audio", params={})
    assert greatest_cost(chosen("ears", "remote", second=100), unknown) == 1
    assert greatest_cost(replace(chosen("ears", "remote"), finer_prices={"second": 100}), unknown) == 1
    assert greatest_cost(chosen("ears", "remote", second=0), unknown) == 0


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
    given = for_call(only, only.params, defaults)
    sent = openai_chat._request(harness.invocation(given, model="m", endpoint="https://m.example/v1"))["max_tokens"]
    assert isinstance(sent, int)
    assert sent <= (most or 128_000) or (step_type, param, default) == ("analyze_image", None, None)
    reserved = selection_request(step_type, defaults=[defaults], params=params, constraints=constraints).output_tokens
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
    (execution,) = (await run.account()).executions
    assert execution.reserved_micro_usd == 8 * 8_192


async def test_a_capability_whose_defaults_cost_no_more_is_asked_for_once() -> None:
    run, _ = await asked(writer("brief", 8, 64))
    assert (list(run.rig.selector.reserved.values()), run.rig.selector.released) == ([8 * 1_024], set())


async def test_a_capability_whose_defaults_the_budget_does_not_bear_is_not_chosen() -> None:
    run, made = await asked(writer("verbose", 8, 8_192), cap_micro_usd=8 * 8_191)
    assert not made
    assert run.rig.selector.reserved == {}


async def test_the_defaults_of_what_is_chosen_instead_are_reserved_too() -> None:
    run, _ = await asked(writer("dear", 80, 8_192), writer("longer", 8, 16_384), cap_micro_usd=80 * 8_191)
    (execution,) = (await run.account()).executions
    assert (execution.chosen.tool_id, execution.reserved_micro_usd) == ("longer", 8 * 16_384)
    assert list(run.rig.selector.reserved.values()) == [8 * 16_384]
