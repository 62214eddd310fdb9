"""Policy is asked once for a selection, and never in a way that holds up others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import SomaError
from mesh.policy import PolicyUnavailable
from svc_selector.adapters import policy as adapter
from svc_selector.adapters.policy import RegoPolicy
from svc_selector.domain.model import CostTier, Prices, SelectionRequest
from tests.unit.selector.selecting import D2, MERMAID, NEED, PLANTUML, SUBJECT, candidate, selector_harness

if TYPE_CHECKING:
    from collections.abc import Mapping


class CentralPolicy:
    """Allows every candidate by an answer that comes over the network; each answer is by another policy."""

    is_immutable = False

    def __init__(self) -> None:
        self.asked: list[Mapping[str, object]] = []
        self.away = False

    @property
    def policy_id(self) -> str:
        return f"policy-{len(self.asked)}"

    def evaluate_sync(self, rule: str, input_: Mapping[str, object]) -> object:
        raise AssertionError("this would hold up the event loop")

    async def evaluate(self, rule: str, input_: Mapping[str, object]) -> object:
        if self.away:
            raise PolicyUnavailable
        self.asked.append(input_)
        return {item["capability_id"]: [] for item in input_["candidates"]}  # type: ignore[attr-defined]


async def test_one_selection_is_one_evaluation() -> None:
    central = CentralPolicy()
    dear = [candidate(each.capability_id, prices=Prices(call=600)) for each in (MERMAID, PLANTUML)]
    made = selector_harness([*dear, D2], limit=500, policy=RegoPolicy(central, "test"))  # type: ignore[arg-type]
    decision = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert (decision.chosen, decision.policy_id, len(central.asked)) == (D2, "policy-1", 1)


async def test_without_a_candidate_policy_is_not_asked() -> None:
    central = CentralPolicy()
    made = selector_harness([], policy=RegoPolicy(central, "test"))  # type: ignore[arg-type]
    with pytest.raises(SomaError):
        await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert central.asked == []


async def test_while_policy_is_away_nothing_is_chosen() -> None:
    central = CentralPolicy()
    central.away = True
    made = selector_harness([D2], policy=RegoPolicy(central, "test"))  # type: ignore[arg-type]
    with pytest.raises(PolicyUnavailable):
        await made.selector.select(SelectionRequest(NEED), SUBJECT)


async def test_policy_is_told_the_profile_and_the_limits() -> None:
    central = CentralPolicy()
    made = selector_harness([candidate("d2@local", cost_tier=CostTier.LOW)], policy=RegoPolicy(central, "dev"))  # type: ignore[arg-type]
    await made.selector.select(SelectionRequest(NEED, max_cost_tier=CostTier.HIGH), SUBJECT)
    [asked] = central.asked
    assert (asked["profile"], asked["max_cost_tier"]) == ("dev", "high")
    assert asked["candidates"][0]["cost_tier"] == "low"  # type: ignore[index]


async def test_decisions_of_a_policy_that_cannot_change_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CentralPolicy, "is_immutable", True)
    central = CentralPolicy()
    made = selector_harness([D2], policy=RegoPolicy(central, "test"))  # type: ignore[arg-type]
    for reason in ("first", "second"):
        await made.selector.select(SelectionRequest(NEED, fallback_reason=reason), SUBJECT)
    assert len(central.asked) == 1


async def test_cached_decisions_are_limited_by_their_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CentralPolicy, "is_immutable", True)
    monkeypatch.setattr(adapter, "MAX_CACHED_CANDIDATES", 5)
    policy = RegoPolicy(CentralPolicy(), "test")  # type: ignore[arg-type]
    made = selector_harness([D2, MERMAID], policy=policy)
    for cap in range(1, 10):
        await made.selector.select(SelectionRequest(NEED, max_cost_micro_usd=cap), SUBJECT)
    assert len(policy._cache) == 2
