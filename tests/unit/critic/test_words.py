"""Words, topics, labels."""

from __future__ import annotations

import pytest

from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.relevance import measure_relevance
from svc_critic.domain.words import content_words, is_url, missing_labels, overlap, words


def test_compounds_are_taken_apart() -> None:
    assert words("signInPage of the user_store, O'Neil's") == [
        "sign",
        "in",
        "page",
        "of",
        "the",
        "user",
        "store",
        "o'neil's",
    ]


def test_topics_leave_out_what_says_nothing() -> None:
    assert set(content_words("Draw a diagram of the ovens and 12 bakeries")) == {"oven", "bakery"}


@pytest.mark.parametrize(("one", "other"), [("orders", "order"), ("locked", "locks"), ("bakeries", "bakery")])
def test_endings_do_not_separate_words(one: str, other: str) -> None:
    assert overlap(content_words(one), content_words(other)) == 1


def test_a_short_request_is_met_by_a_long_answer() -> None:
    assert (
        overlap(
            content_words("sign-in service"), content_words("The service lets users sign in, and much more besides")
        )
        == 1
    )


def test_a_misread_letter_is_forgiven() -> None:
    assert overlap(content_words("correlator"), content_words("corre1ator antenna receiver")) == 1


def test_similar_words_of_other_lengths_are_other_words() -> None:
    assert overlap(content_words("weather"), content_words("water")) == 0


def test_nothing_overlaps_with_nothing() -> None:
    assert overlap(set(), {"word"}) == 0


def test_labels_are_found_joined_wrapped_and_misread() -> None:
    lines = ["Sign-in", "service", "Userstore", "Auait log"]
    assert missing_labels(["Sign-in service", "User store", "Audit log"], lines) == []


def test_absent_labels_are_named() -> None:
    assert missing_labels(["Mail gateway", "Browser"], ["Browser", "Token service"]) == ["Mail gateway"]


def test_an_address_has_no_words_to_compare() -> None:
    assert is_url(" http://127.0.0.1:8000/sign-in?next=home ")
    assert not is_url("see http://example.org for more")
    assert measure_relevance(["anything"], EvaluationContext("https://example.org/a"), "the page") == ()


def test_expected_labels_decide_alone() -> None:
    context = EvaluationContext("Draw the harbour", ("Browser", "Server"))
    (found,) = measure_relevance(["Browser", "Server"], context, "the diagram")
    assert found.score == 1


def test_what_was_not_read_is_not_held_against_it() -> None:
    context = EvaluationContext("", ("Browser", "Server", "Store", "Mail"))
    (half,) = measure_relevance(["Browser", "Server"], context, "the diagram", read_share=0.5)
    (whole,) = measure_relevance(["Browser", "Server"], context, "the diagram")
    assert half.score == 1
    assert whole.score < 0.5


def test_missing_labels_are_hinted_at() -> None:
    (found,) = measure_relevance(["Browser"], EvaluationContext("", ("Browser", "Server")), "the diagram")
    assert found.feedback is not None
    assert found.feedback.code == "MISSING_LABEL"
    assert found.feedback.hint == {"labels": ["Server"]}
