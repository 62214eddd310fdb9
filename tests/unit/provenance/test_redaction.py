"""What is taken out of the record, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import SystemIds
from mesh.redaction import SUMMARY_CHARS, Redactor, iban, luhn

FINDS = [
    ("mail ann.lee+x@mail.example.org now", "mail [email] now"),
    ("SSN 078-05-1120.", "SSN [ssn]."),
    ("pay 4111-1111-1111-1111", "pay [card]"),
    ("pay 5500 0000 0000 0004", "pay [card]"),
    ("to DE89 3704 0044 0532 0130 00", "to [iban]"),
    ("call +49 30 901820 0 today", "call [phone] today"),
    ("call (415) 555-2671", "call [phone]"),
    ("key sk-abcdefghijklmnopqrstuvwx", "key [key]"),
    ("use soma_dev_eyJhbGciOiJF.eyJzdWIiOiJh.c2lnbmF0dXJl", "use [token]"),
    ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[private_key]"),
]


@pytest.mark.parametrize(("text", "kept"), FINDS)
def test_each_kind_is_found(text: str, kept: str) -> None:
    assert Redactor().text(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3 of 2026-03-01 at 12:30:45",
        "4111 1111 1111 1112",
        "order 1234567890123",
        "DE00 3704 0044 0532 0130 00",
        "REQ-001 traces to TC-12",
        "ratio 0.123456789012345678",
        "000-12-3456",
        "the risk-adjusted value",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_ids_stay() -> None:
    ids = SystemIds()
    text = " ".join(ids.new() for _ in range(5_000))
    assert Redactor(limit=len(text)).text(text) == text


def test_nested_values_are_redacted_and_counted() -> None:
    redactor = Redactor()
    value = {"a": ["x@y.de", {"b@c.de": 1}], "n": 4, "t": True}
    assert redactor.object(value) == {"a": ["[email]", {"[email]": 1}], "n": 4, "t": True}
    assert redactor.counts == {"email": 2}


@given(st.text(max_size=2000))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once) == once


@given(st.text(max_size=2000))
def test_a_summary_is_one_line_and_short(text: str) -> None:
    summary = Redactor().summary(text)
    assert len(summary) <= SUMMARY_CHARS
    assert "\n" not in summary


@given(st.integers(0, 10**15))
def test_luhn_finds_every_single_wrong_digit(number: int) -> None:
    body = f"{number:015d}"
    check = next(digit for digit in "0123456789" if luhn(body + digit))
    wrong = [digit for digit in "0123456789" if digit != check]
    assert not any(luhn(body + digit) for digit in wrong)


def test_iban_check_digits() -> None:
    assert iban("GB82 WEST 1234 5698 7654 32")
    assert not iban("GB82 WEST 1234 5698 7654 33")
