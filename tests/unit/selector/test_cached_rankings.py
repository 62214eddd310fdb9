"""Rankings of equal requests are cached, and serialised once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from mesh.errors import SomaError
from mesh.idempotency import RequestKey
from svc_selector.app import rank
from svc_selector.domain.model import (
    Health,
    Ladder,
    SelectionRequest,
    Subject,
)
from svc_selector.rpc import SelectionConverter
from tests.unit.selector.selecting import D2, MERMAID, NEED, SUBJECT, SilentPolicy, candidate, selector_harness


async def test_equal_requests_share_their_ranking_until_something_changes() -> None:
    made = selector_harness([MERMAID, D2])
    first, second = [await made.selector.select(SelectionRequest(NEED), SUBJECT) for _ in range(2)]
    assert first.ranking is second.ranking
    assert first.selection_id != second.selection_id
    made.catalog.update([candidate("mermaid@local", health=Health.UNHEALTHY)], {})
    third = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert (third.chosen, third.ranking is first.ranking) == (D2, False)


async def test_a_change_elsewhere_leaves_a_ranking_cached() -> None:
    """Health changes all the time somewhere; ranking every request again after each change would delay all callers."""
    made = selector_harness([MERMAID, D2])
    first = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    made.catalog.update([replace(candidate("say@local"), modalities=("audio",), task_types=("audio_tts",))], {})
    made.catalog.update([], {("acme", "audio", "audio_tts"): Ladder(("say@local",), 1)})
    assert (await made.selector.select(SelectionRequest(NEED), SUBJECT)).ranking is first.ranking


@pytest.mark.parametrize("request_id", ["", "r"])
async def test_a_changed_candidate_or_ladder_is_not_answered_from_the_cache(request_id: str) -> None:
    made = selector_harness([MERMAID, D2])
    selection_request = SelectionRequest(NEED, key=RequestKey.for_request(request_id), dry_run=True)
    first = await made.selector.select(selection_request, SUBJECT)
    moved = replace(candidate("mermaid@local"), task_types=("other",))
    made.catalog.update([moved], {})
    second = await made.selector.select(selection_request, SUBJECT)
    assert ([item.candidate for item in second.ranked], second.ranking is first.ranking) == ([D2], False)
    made.catalog.update([], {("acme", NEED.modality, NEED.task_type): Ladder(("mermaid@local", "d2@local"), 9)})
    third = await made.selector.select(selection_request, SUBJECT)
    assert third.ladder_version == 9
    made.catalog.replace_all([MERMAID], {})
    assert (await made.selector.select(selection_request, SUBJECT)).chosen == MERMAID


@pytest.mark.parametrize(
    "other",
    [replace(SUBJECT, tenant_id="umbrella"), replace(SUBJECT, roles=("admin",)), replace(SUBJECT, classification="x")],
)
async def test_a_ranking_is_not_shared_between_subjects(other: Subject) -> None:
    made = selector_harness(
        [candidate("d2@local", tenants=("acme",), roles=("member",), classifications=("internal",)), MERMAID]
    )
    own = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert len(own.ranked) == 2
    with suppress(SomaError):
        assert (await made.selector.select(SelectionRequest(NEED), other)).ranking is not own.ranking


async def test_a_policy_that_may_change_is_evaluated_each_time() -> None:
    changing = SilentPolicy()
    changing.is_cacheable = False
    made = selector_harness([D2], policy=changing)
    for _ in range(2):
        with pytest.raises(SomaError):
            await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert changing.asked == 2


async def test_a_selection_of_a_shared_ranking_is_complete() -> None:
    made, converter = (
        selector_harness([MERMAID, D2, candidate("cloud@remote", health=Health.UNHEALTHY)]),
        SelectionConverter(),
    )
    job = replace(SUBJECT, job_id="job", step_id="s2", attempt=2)
    decisions = [await made.selector.select(SelectionRequest(NEED), subject) for subject in (SUBJECT, job)]
    for decision in decisions:
        alone = SelectionConverter().to_proto(replace(decision, ranking=None))
        assert converter.to_proto(decision) == alone
        assert (alone.chosen.ByteSize(), len(alone.ranked), len(alone.rejected)) == (0, 2, 1)


async def test_many_other_requests_do_not_evict_a_ranking_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "MAX_CACHED", 3)
    made = selector_harness([MERMAID, D2])
    first = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    for number in range(10):
        await made.selector.select(SelectionRequest(NEED, fallback_reason=f"reason {number}"), SUBJECT)
        assert (await made.selector.select(SelectionRequest(NEED), SUBJECT)).ranking is first.ranking


async def test_cached_rankings_are_limited_by_their_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "MAX_CACHED_CANDIDATES", 7)  # two rankings of two candidates
    made = selector_harness([MERMAID, D2])
    for number in range(10):
        await made.selector.select(SelectionRequest(NEED, fallback_reason=f"reason {number}"), SUBJECT)
    assert len(made.selector._ranker._cache) == 2
