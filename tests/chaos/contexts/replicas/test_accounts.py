"""The reconciliation finds each thing that can be wrong among replicas, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.contexts.replicas.accounts import Account, Asset, Evidence, Purchase, Reservation, faults

PRICE = 5
UPLOADS = [Asset("a1", "f1.txt", "00")]
PURCHASES = [Purchase("p1", "r1"), Purchase("p2", "r2"), Purchase("p3", "", "BUDGET_EXCEEDED")]
HELD = [Reservation("r1", "held", PRICE, 0), Reservation("r2", "settled", PRICE, 3)]
RIGHT = Evidence(UPLOADS, Account(10, PRICE, 3), HELD, served={"svc-assets-1": 3, "svc-assets-2": 1})


def found(evidence: Evidence, purchases: list[Purchase] = PURCHASES) -> list[str]:
    return faults(UPLOADS, purchases, PRICE, evidence)


def test_what_agrees_is_right() -> None:
    assert found(RIGHT) == []


@pytest.mark.parametrize(
    ("evidence", "fault"),
    [
        (replace(RIGHT, stored=[]), "f1.txt is stored 0 times"),
        (replace(RIGHT, stored=[*UPLOADS, Asset("a2", "f1.txt", "00")]), "f1.txt is stored 2 times"),
        (replace(RIGHT, stored=[Asset("a1", "f1.txt", "01")]), "f1.txt is not stored as its client was told"),
        (replace(RIGHT, stored=[*UPLOADS, Asset("a2", "f2.txt", "00")]), "f2.txt was sent by nobody"),
        (replace(RIGHT, account=Account(7, PRICE, 3)), "5 + 3 of 7 are spent"),
        (replace(RIGHT, account=Account(10, 0, 3)), "the account holds 0, its reservations 5"),
        (replace(RIGHT, account=Account(10, PRICE, 0)), "the account has settled 0, its reservations 3"),
        (replace(RIGHT, account=Account(99, PRICE, 3)), "1 selections are refused, though 10 of 99 are reserved"),
        (
            replace(RIGHT, reservations=[*HELD, Reservation("r3", "released", PRICE, 0)]),
            "reservation r3 was told to nobody",
        ),
        (replace(RIGHT, admitted=[("svc-assets-1", "k1")]), "svc-assets-1 admits the revoked key k1"),
        (replace(RIGHT, served={"svc-assets-1": 3, "svc-assets-2": 0}), "svc-assets-2 served no call"),
        (replace(RIGHT, unsent=2), "2 events are not sent"),
        (replace(RIGHT, conflicts=1), "1 anchors are not what their chain says"),
    ],
)
def test_what_does_not_agree_is_told(evidence: Evidence, fault: str) -> None:
    assert found(evidence) == [fault]


def test_requests_that_got_the_same_reservation_are_told() -> None:
    assert found(RIGHT, [*PURCHASES, Purchase("p4", "r1")]) == ["reservation r1 was given to 2 requests"]


def test_a_refusal_for_another_reason_is_told() -> None:
    wrong = [*PURCHASES, Purchase("p4", "", "NO_CAPABLE_CAPABILITY")]
    assert found(RIGHT, wrong) == ["1 selections are refused: NO_CAPABLE_CAPABILITY"]
