"""What makes a rubric one that can be judged by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import Reason, SomaError
from svc_critic.domain.rubric import Criterion, Dimension, Rubric, builtin_rubric, builtin_rubrics, check_rubric

CLARITY = Criterion(Dimension.CLARITY, 0.5, 0.7)
RELEVANCE = Criterion(Dimension.RELEVANCE, 0.5, 0.6)
GOOD = Rubric((CLARITY, RELEVANCE), 0.65)


def problems(rubric: Rubric) -> dict[str, str]:
    with pytest.raises(SomaError) as refused:
        check_rubric(rubric)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    return {violation.field: violation.description for violation in refused.value.fields}


def test_the_default_weighs_clarity_most() -> None:
    rubric = builtin_rubric("diagram")
    given = {c.dimension.value: (c.weight, c.threshold) for c in rubric.criteria}
    assert given == {"clarity": (0.4, 0.7), "relevance": (0.3, 0.6), "aesthetic": (0.3, 0.5)}
    assert rubric.min_overall_score == 0.65


def test_every_builtin_can_be_judged_by() -> None:
    assert builtin_rubrics()
    for rubric in builtin_rubrics():
        check_rubric(rubric)
        assert rubric.builtin
        assert rubric.rubric_id.startswith("default-")


def test_an_unknown_asset_type_has_the_general_default() -> None:
    assert builtin_rubric("hologram").rubric_id == "default-any"


def test_weights_sum_to_one() -> None:
    found = problems(replace(GOOD, criteria=(CLARITY, replace(RELEVANCE, weight=0.4))))
    assert found == {"rubric.criteria": "weights must sum to 1, not to 0.9"}


def test_thirds_sum_to_one() -> None:
    third = 1 / 3
    check_rubric(replace(GOOD, criteria=tuple(Criterion(dimension, third, 0.5) for dimension in Dimension)))


def test_a_dimension_is_named_once() -> None:
    assert "more than once" in problems(replace(GOOD, criteria=(CLARITY, CLARITY)))["rubric.criteria"]


def test_a_rubric_needs_criteria() -> None:
    assert "at least one" in problems(replace(GOOD, criteria=()))["rubric.criteria"]


def test_everything_wrong_is_told_at_once() -> None:
    bad = Rubric((replace(CLARITY, weight=1.5, threshold=-0.1), replace(RELEVANCE, weight=0.0)), 1.2)
    assert set(problems(bad)) == {
        "rubric.criteria[0].weight",
        "rubric.criteria[0].threshold",
        "rubric.criteria[1].weight",
        "rubric.criteria",
        "rubric.min_overall_score",
    }
