"""Why a capability was chosen, and others were not, in words that are written from what a selection says as data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svc_provenance.domain.model import Judgement, RejectedCapability, SelectionBasis, SelectionSummary
from svc_provenance.domain.selection_story import reason, rejections

MADE = SelectionSummary(
    "s", "chart", 1, "a@b", "a@b: the selector's own words; 7 more could serve.", basis=SelectionBasis()
)
CURRENT = "behind current ones because it is deprecated"


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        (SelectionBasis(ladder_position=2), "choice 2 in the order of preference"),
        (SelectionBasis(), "outside the order of preference"),
        (SelectionBasis(1, forced=True), "forced by the caller, choice 1 in the order of preference"),
        (SelectionBasis(preferred=True), "preferred by the user, outside the order of preference"),
        (
            SelectionBasis(1, degraded=True, deprecated=True),
            "choice 1 in the order of preference, behind healthy ones because it is degraded, " + CURRENT,
        ),
        (
            SelectionBasis(1, alternatives=2, rejections=3),
            "choice 1 in the order of preference; 2 more could serve, 3 left out",
        ),
    ],
)
def test_a_choice_is_told_from_its_basis(basis: SelectionBasis, words: str) -> None:
    assert reason(replace(MADE, basis=basis)) == words


@pytest.mark.parametrize(
    ("rejected", "words"),
    [
        (0, "no capability serves this"),
        (1, "the only capability was left out"),
        (3, "all 3 capabilities were left out"),
    ],
)
def test_that_nothing_was_left_is_told_from_the_basis(rejected: int, words: str) -> None:
    none_left = replace(MADE, chosen="", basis=SelectionBasis(rejections=rejected))
    assert reason(none_left) == f"nothing could be chosen: {words}"


def test_without_a_basis_the_selectors_sentence_stands_as_it_is() -> None:
    assert reason(replace(MADE, basis=None)) == "a@b: the selector's own words; 7 more could serve"


def test_the_words_of_the_selector_are_not_looked_at_where_there_is_a_basis() -> None:
    """A planted sentence that the version before would have taken apart."""
    planted = replace(MADE, reason="after X: a@b: rung 9 of the ladder for 12 micro-USD", basis=SelectionBasis(1))
    assert reason(planted) == "choice 1 in the order of preference"


def test_what_the_budget_did_not_bear_is_told_in_dollars() -> None:
    over = RejectedCapability("a@b", Judgement.BUDGET, "BUDGET_EXCEEDED", "own words", cost_micro_usd=40_000)
    assert rejections(replace(MADE, rejected=(over,))) == (
        " (a@b: its cost of 0.0400 USD is above what the budget has left)"
    )


def test_what_does_something_else_is_not_told_as_left_out() -> None:
    others = tuple(
        RejectedCapability("a@b", Judgement.CANDIDATES, code, "why") for code in ("TASK_TYPE_MISMATCH", "EXCLUDED")
    )
    assert rejections(replace(MADE, rejected=others)) == ""
