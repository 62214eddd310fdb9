"""Inputs that once held the interpreter for seconds are measured in a moment, or end with their process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.processes import ProcessLimits, ProcessPool
from svc_critic.adapters.heuristics import MeasurementPool, heuristics
from svc_critic.app import Evaluators
from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
from tests.integration.mesh.processes import process_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TENANT = "acme"
BLURRED = "".join(f'<rect x="{n}" width="90" height="90" filter="url(#b)"/>' for n in range(300))
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 600">{}</svg>'
BLUR = '<defs><filter id="b"><feGaussianBlur stdDeviation="90"/></filter></defs>'
NESTED = SVG.format("<g id='a'>" * 5_000 + "<use href='#b'/>" + "</g>" * 5_000)
HARD = {
    "tags that never end": ("text/markdown", "<a " * 300_000),
    "tags with spaces": ("text/markdown", ("<a" + " " * 500) * 1_500),
    "brackets that never close": ("text/markdown", "word " + "[" * 100_000),
    "heading with braces": ("text/markdown", "# word " + "{#" * 100_000),
    "blurred rectangles": ("image/svg+xml", SVG.format(BLUR + BLURRED)),
    "groups within groups": ("image/svg+xml", NESTED),
}
"""Each took more than 4 s of processor time, most of them with the square of their length."""


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    limits = ProcessLimits(cpu_s=4.0, time_s=110.0, memory_mb=1_024)
    async with ProcessPool.open("critic", limits, SystemClock()) as opened:
        yield opened


@pytest.mark.parametrize("name", HARD)
async def test_hard_input_is_measured_within_the_limit(pool: ProcessPool, name: str) -> None:
    media_type, text = HARD[name]
    asset = EvaluatedAsset("a", "diagram" if "svg" in media_type else "document", media_type, text.encode())
    evaluator, _ = Evaluators(heuristics(pool, 1)).choose(asset)
    assert (await evaluator.measure(TENANT, asset, EvaluationContext("draw a -> b -> c"))).measurements


async def test_arrows_of_a_long_request_are_counted_within_the_limit(pool: ProcessPool) -> None:
    asset = EvaluatedAsset("a", "diagram", "image/svg+xml", SVG.format('<rect width="9" height="9"/>').encode())
    evaluator, _ = Evaluators(heuristics(pool, 1)).choose(asset)
    assert (await evaluator.measure(TENANT, asset, EvaluationContext("-" * 100_000 + "|" * 20_000))).measurements


async def test_work_beyond_the_limit_is_final_and_says_so(pool: ProcessPool) -> None:
    with pytest.raises(SomaError, match="too complex to be judged") as refused:
        await MeasurementPool(pool).run(TENANT, process_work.spin)
    assert refused.value.reason is Reason.FAILED_PRECONDITION
    assert not refused.value.status_mapping.retryable
