"""A repeated request is answered with the first choice; another request under the same id is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from soma.registry.v1.capability_pb2 import COST_TIER_HIGH
from soma.selector.v1.selection_pb2 import EstimatedUnits, Preference, SelectRequest, SubjectContext
from tests.contract.selector.serving import request, serving
from tests.unit.selector.selecting import D2, MERMAID

if TYPE_CHECKING:
    from collections.abc import Callable

PERSONAL = "Write to jane.doe@example.com and thank her"


def prompted(prompt: str, request_id: str = "r") -> SelectRequest:
    made = request(request_id)
    made.requirements.params.update({"prompt": prompt})
    return made


@pytest.mark.parametrize("prompt", ["Draw a cat", PERSONAL, "a" * 120_000], ids=["plain", "personal", "long"])
async def test_a_repeat_is_answered_with_the_first_choice(prompt: str) -> None:
    async with serving([D2, MERMAID]) as selector:
        first = await selector.stub.Select(prompted(prompt))
        selector.harness.catalog.replace_all([D2], {})
        assert await selector.stub.Select(prompted(prompt)) == first


@pytest.mark.parametrize("prompt", ["Draw a cat", PERSONAL], ids=["plain", "personal"])
async def test_two_at_once_make_one_choice(prompt: str) -> None:
    async with serving([D2]) as selector:
        answers = await asyncio.gather(*(selector.stub.Select(prompted(prompt)) for _ in range(5)))
        assert len({answer.selection_id for answer in answers}) == 1


CHANGES: dict[str, Callable[[SelectRequest], object]] = {
    "requirements": lambda made: made.requirements.formats.append("png"),
    "params": lambda made: made.requirements.params.update({"prompt": "john.doe@example.com"}),
    "units": lambda made: made.estimated_units.CopyFrom(EstimatedUnits(images=2)),
    "subject": lambda made: made.subject_context.CopyFrom(SubjectContext(session_id="s")),
    "preference": lambda made: made.preference.CopyFrom(Preference(provider="local")),
    "exclude": lambda made: made.exclude.append("mermaid@local"),
    "fallback": lambda made: setattr(made, "fallback_reason", "it failed"),
    "cap": lambda made: setattr(made, "max_cost_micro_usd", 5),
    "tier": lambda made: setattr(made, "max_cost_tier", COST_TIER_HIGH),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_any_other_request_under_the_same_id_is_a_mismatch(change: Callable[[SelectRequest], object]) -> None:
    async with serving([D2, MERMAID]) as selector:
        first, other = prompted("jane.doe@example.com"), prompted("jane.doe@example.com")
        change(other)
        await selector.stub.Select(first)
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(other)
        assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_an_id_says_nothing_of_another_id() -> None:
    async with serving([D2]) as selector:
        first = await selector.stub.Select(prompted("Draw a cat"))
        second = await selector.stub.Select(prompted("Draw a cat", "other"))
        assert first.selection_id != second.selection_id


async def test_what_is_answered_and_kept_of_parameters_is_redacted() -> None:
    async with serving([D2]) as selector:
        answer = await selector.stub.Select(prompted(PERSONAL))
        assert dict(answer.requirements.params)["prompt"] == "Write to [email] and thank her"
        assert not answer.HasField("params_omitted")


async def test_a_reason_to_fall_back_is_kept_redacted() -> None:
    async with serving([D2]) as selector:
        answer = await selector.stub.Select(request(fallback_reason="no answer for jane.doe@example.com"))
        assert answer.fallback_reason == "no answer for [email]"
        assert "jane.doe" not in str(answer)
