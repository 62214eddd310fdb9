"""Judgements of equal asks are kept, and written once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from mesh.errors import SomaError
from mesh.idempotency import RequestKey
from svc_selector.app import judge
from svc_selector.domain.model import (
    Health,
    Ladder,
    SelectionRequest,
    Subject,
)
from svc_selector.rpc import SelectionFacts
from tests.unit.selector.selecting import D2, MERMAID, NEED, SUBJECT, SilentPolicy, bench, candidate


async def test_equal_asks_share_their_judgement_until_something_changes() -> None:
    made = bench([MERMAID, D2])
    first, second = [await made.selector.select(SelectionRequest(NEED), SUBJECT) for _ in range(2)]
    assert first.judged is second.judged
    assert first.selection_id != second.selection_id
    made.catalog.update([candidate("mermaid@local", health=Health.UNHEALTHY)], {})
    third = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert (third.chosen, third.judged is first.judged) == (D2, False)


async def test_a_change_elsewhere_leaves_a_judgement_kept() -> None:
    """Health changes all the time somewhere; judging all asks anew for each would hold up every caller."""
    made = bench([MERMAID, D2])
    first = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    made.catalog.update([replace(candidate("say@local"), modalities=("audio",), task_types=("audio_tts",))], {})
    made.catalog.update([], {("acme", "audio", "audio_tts"): Ladder(("say@local",), 1)})
    assert (await made.selector.select(SelectionRequest(NEED), SUBJECT)).judged is first.judged


@pytest.mark.parametrize("request_id", ["", "r"])
async def test_what_was_offered_and_is_no_longer_is_not_kept(request_id: str) -> None:
    made = bench([MERMAID, D2])
    selection_request = SelectionRequest(NEED, key=RequestKey.of(request_id), dry_run=True)
    first = await made.selector.select(selection_request, SUBJECT)
    moved = replace(candidate("mermaid@local"), task_types=("other",))
    made.catalog.update([moved], {})
    second = await made.selector.select(selection_request, SUBJECT)
    assert ([item.candidate for item in second.ranked], second.judged is first.judged) == ([D2], False)
    made.catalog.update([], {("acme", NEED.modality, NEED.task_type): Ladder(("mermaid@local", "d2@local"), 9)})
    third = await made.selector.select(selection_request, SUBJECT)
    assert third.ladder_version == 9
    made.catalog.replace_all([MERMAID], {})
    assert (await made.selector.select(selection_request, SUBJECT)).chosen == MERMAID


@pytest.mark.parametrize(
    "other",
    [replace(SUBJECT, tenant_id="umbrella"), replace(SUBJECT, roles=("admin",)), replace(SUBJECT, classification="x")],
)
async def test_a_judgement_is_not_shared_between_subjects(other: Subject) -> None:
    made = bench([candidate("d2@local", tenants=("acme",), roles=("member",), classifications=("internal",)), MERMAID])
    own = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert len(own.ranked) == 2
    with suppress(SomaError):
        assert (await made.selector.select(SelectionRequest(NEED), other)).judged is not own.judged


async def test_a_policy_that_may_change_is_asked_each_time() -> None:
    changing = SilentPolicy()
    changing.fixed = False
    made = bench([D2], judged_by=changing)
    for _ in range(2):
        with pytest.raises(SomaError):
            await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert changing.asked == 2


async def test_what_is_written_of_a_shared_judgement_is_written_whole() -> None:
    made, facts = bench([MERMAID, D2, candidate("cloud@remote", health=Health.UNHEALTHY)]), SelectionFacts()
    job = replace(SUBJECT, job_id="job", step_id="s2", attempt=2)
    decisions = [await made.selector.select(SelectionRequest(NEED), subject) for subject in (SUBJECT, job)]
    for decision in decisions:
        alone = SelectionFacts().message(replace(decision, judged=None))
        assert facts.message(decision) == alone
        assert (alone.chosen.ByteSize(), len(alone.ranked), len(alone.rejected)) == (0, 2, 1)


async def test_many_other_asks_do_not_push_out_a_judgement_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "MAX_CACHED", 3)
    made = bench([MERMAID, D2])
    first = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    for number in range(10):
        await made.selector.select(SelectionRequest(NEED, fallback_reason=f"reason {number}"), SUBJECT)
        assert (await made.selector.select(SelectionRequest(NEED), SUBJECT)).judged is first.judged


async def test_what_is_kept_of_judgements_is_bounded_by_the_offers_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "MAX_CACHED_CANDIDATES", 7)  # two judgements of two candidates
    made = bench([MERMAID, D2])
    for number in range(10):
        await made.selector.select(SelectionRequest(NEED, fallback_reason=f"reason {number}"), SUBJECT)
    assert len(made.selector._judge._cache) == 2
