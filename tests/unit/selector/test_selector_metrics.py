"""Metrics count choices that were made, under names that everybody may read."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import REGISTRY

from mesh.errors import SomaError
from svc_selector.adapters.metrics import PRIVATE, InstrumentedSelector
from svc_selector.domain.model import Candidate, Health, SelectionRequest
from tests.unit.selector.selecting import D2, NEED, SUBJECT, candidate, selector_harness

SICK = candidate("d2@local", health=Health.UNHEALTHY)
OWN = candidate("secret@acme", tenants=("acme",))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def chosen(tool: str, provider: str) -> float:
    return counted(
        "multimodal_capability_selection_total",
        modality="diagram", tool_id=tool, provider=provider, decision_source="ladder",
    )  # fmt: skip


def dry_runs(result: str) -> float:
    return counted("selector_dry_runs_total", modality="diagram", result=result)


async def select(*candidates: Candidate, dry_run: bool = False) -> None:
    with suppress(SomaError):
        await InstrumentedSelector(selector_harness(candidates).selector).select(
            SelectionRequest(NEED, dry_run=dry_run), SUBJECT
        )


async def test_a_choice_is_counted() -> None:
    before = chosen("d2", "local")
    await select(D2)
    assert chosen("d2", "local") - before == 1


async def test_a_dry_run_is_counted_apart() -> None:
    before = (chosen("d2", "local"), dry_runs("chosen"))
    await select(D2, dry_run=True)
    assert (chosen("d2", "local"), dry_runs("chosen")) == (before[0], before[1] + 1)


async def test_what_a_dry_run_leaves_out_is_not_counted_as_rejected() -> None:
    before = (counted("selector_rejected_total", reason="UNHEALTHY"), dry_runs("refused"))
    await select(SICK, dry_run=True)
    assert (counted("selector_rejected_total", reason="UNHEALTHY"), dry_runs("refused")) == (before[0], before[1] + 1)
    await select(SICK)
    assert counted("selector_rejected_total", reason="UNHEALTHY") == before[0] + 1


async def test_a_search_for_candidates_is_a_dry_run() -> None:
    before = (chosen("d2", "local"), dry_runs("chosen"), dry_runs("refused"))
    for candidate_ in (D2, SICK):
        await InstrumentedSelector(selector_harness([candidate_]).selector).find(
            SelectionRequest(NEED, dry_run=True), SUBJECT
        )
    assert (chosen("d2", "local"), dry_runs("chosen"), dry_runs("refused")) == (before[0], before[1] + 1, before[2] + 1)


async def test_the_names_of_a_tenants_own_capability_are_no_labels() -> None:
    before = chosen(PRIVATE, PRIVATE)
    await select(OWN)
    assert chosen(PRIVATE, PRIVATE) - before == 1
    assert chosen("secret", "acme") == 0
