"""Text that is too short, cut off, repetitive; pages that show errors."""

from __future__ import annotations

import pytest

from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.error_pages import find_error_text
from svc_critic.domain.prose import measure_prose
from svc_critic.domain.rubric import builtin_rubric
from svc_critic.domain.scoring import score_measurements

GOOD = (
    "The sign-in feature lets a customer open a session with an e-mail address and a password. After five failed "
    "attempts the account is locked for fifteen minutes. Every attempt is written to the audit log."
)
CONTEXT = EvaluationContext("Describe the sign-in feature of the shop: sessions, passwords, failed attempts, audit log")


def codes(text: str, context: EvaluationContext = CONTEXT) -> list[str]:
    return [note.code for note in score_measurements(builtin_rubric("text"), measure_prose(text, context)).feedback]


def test_a_good_text_passes() -> None:
    assert codes(GOOD) == []


def test_without_a_request_only_the_text_is_judged() -> None:
    assert codes(GOOD, EvaluationContext()) == []


def test_an_empty_text_is_blank() -> None:
    assert codes("   \n") == ["BLANK"]


def test_a_number_of_words_that_was_asked_for_counts() -> None:
    assert "TOO_SHORT" in codes(GOOD, EvaluationContext(CONTEXT.request + " in 200 words"))


def test_an_upper_bound_of_words_is_no_demand() -> None:
    assert codes(GOOD, EvaluationContext(CONTEXT.request + " in at most 200 words")) == []


def test_a_sentence_that_breaks_off_is_noticed() -> None:
    assert codes(GOOD + " Whenever the") == ["CUT_OFF"]


@pytest.mark.parametrize("end", ["\n\n- the audit log", "\n\n| log | yes |", "\n\n```\nlog\n```", " (see the log)"])
def test_lists_tables_and_code_end_as_they_like(end: str) -> None:
    assert codes(GOOD + end) == []


def test_repetition_is_noticed() -> None:
    assert "REPETITIVE" in codes("The customer opens a session with a password every day. " * 8)


def test_another_topic_is_noticed() -> None:
    text = (
        "Boil the pasta in salted water until it is firm, then fry garlic and tomatoes in olive oil and serve it hot."
    )
    assert codes(text) == ["NOT_RELEVANT"]


@pytest.mark.parametrize(
    "lines",
    [
        ["404 Not Found", "nginx"],
        ["404NotFound"],
        ["This site can't be reached", "127.0.0.1 refused to connect.", "ERR_CONNECTION_REFUSED"],
        ["502 Bad Gateway"],
        ["Application error: a client-side exception has occurred"],
        ["HTTP ERROR 500"],
        ["Your connection is not private"],
    ],
)
def test_error_pages_are_known(lines: list[str]) -> None:
    assert find_error_text(lines)


@pytest.mark.parametrize(
    "lines", [["Sign in", "E-mail", "Password"], ["Room 404", "Bed and breakfast"], ["Order 500 rolls"]]
)
def test_other_pages_are_not_taken_for_errors(lines: list[str]) -> None:
    assert not find_error_text(lines)


def test_a_long_page_about_errors_is_not_an_error_page() -> None:
    article = ["How to design error pages", *["A friendly page helps readers find their way back home"] * 12]
    assert not find_error_text([*article, "For example: 404 Not Found"])
