"""What becomes of dead letters, by rule."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from svc_provenance.domain.dead_letters import (
    CLOSED,
    INACTIVE,
    Cause,
    DeadLetterRecord,
    DeliveryFailure,
    RequeuePolicy,
    State,
    after_failure,
    discarded,
    next_state,
    requeued,
    resolved,
    wake_at,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REQUEUE_POLICY = RequeuePolicy(3, 10 * SECOND, 60 * SECOND, 30 * SECOND, 100 * SECOND)
LETTER = DeadLetterRecord("d", "acme", "g", "t", "k", "e", "T", Cause.FAILED, "", 0, NOW, NOW)


def dead(cause: Cause, dead_letter: DeadLetterRecord = LETTER, now: datetime = NOW) -> DeadLetterRecord:
    return after_failure(dead_letter, DeliveryFailure(cause, "why", 5), now, REQUEUE_POLICY)


def test_what_failed_waits_and_is_then_sent_again_under_a_new_id() -> None:
    dead_letter = dead(Cause.FAILED)
    wake = wake_at(dead_letter)
    assert dead_letter.state is State.WAITING
    assert wake is not None
    assert next_state(dead_letter, wake - SECOND / 1000, "new") == dead_letter
    sent = next_state(dead_letter, wake, "new")
    assert (sent.state, sent.sent_id, sent.requeues, sent.attempts) == (State.REQUEUED, "new", 1, 5)


def test_pauses_double_up_to_the_longest_and_differ_between_dead_letters() -> None:
    pauses = []
    for requeues in range(REQUEUE_POLICY.requeues):
        wake = wake_at(dead(Cause.TIMEOUT, replace(LETTER, requeues=requeues)))
        assert wake is not None
        pauses.append(wake - NOW)
    for whole, pause in zip((10, 20, 40), pauses, strict=True):
        assert whole * SECOND / 2 <= pause <= whole * SECOND
    assert wake_at(dead(Cause.FAILED)) != wake_at(dead(Cause.FAILED, replace(LETTER, dlq_id="other")))


def test_after_the_last_requeue_somebody_must_decide() -> None:
    dead_letter = dead(Cause.FAILED, replace(LETTER, requeues=REQUEUE_POLICY.requeues))
    assert (dead_letter.state, wake_at(dead_letter)) == (State.EXHAUSTED, None)
    assert requeued(dead_letter, NOW, "new").state is State.REQUEUED


def test_what_cannot_be_read_is_never_sent_again() -> None:
    dead_letter = dead(Cause.MALFORMED)
    assert dead_letter.state is State.EXHAUSTED
    with pytest.raises(SomaError) as refused:
        requeued(dead_letter, NOW, "new")
    assert refused.value.reason is Reason.FAILED_PRECONDITION
    assert "discard" in refused.value.message


def test_what_policy_refuses_is_tried_until_it_expires() -> None:
    dead_letter, now, sent = dead(Cause.POLICY), NOW, 0
    while (wake := wake_at(dead_letter)) is not None:
        now = wake
        dead_letter = next_state(dead_letter, now, f"new{sent}")
        if dead_letter.state is State.REQUEUED:
            sent += 1
            dead_letter = dead(Cause.POLICY, dead_letter, now)
    assert (dead_letter.state, sent) == (State.EXPIRED, 3)
    assert now == NOW + REQUEUE_POLICY.policy_expiry


def test_what_was_applied_is_resolved_even_if_it_was_given_up_meanwhile() -> None:
    dead_letter = discarded(requeued(dead(Cause.FAILED), NOW, "new"), "enough", NOW)
    assert dead_letter.state is State.DISCARDED
    assert resolved(dead_letter, NOW).state is State.RESOLVED


def test_settled_dead_letters_stay_and_refuse() -> None:
    done = resolved(dead(Cause.FAILED), NOW)
    assert dead(Cause.FAILED, done) == done
    for change in (lambda: requeued(done, NOW, "new"), lambda: discarded(done, "why", NOW)):
        with pytest.raises(SomaError) as refused:
            change()
        assert refused.value.reason is Reason.FAILED_PRECONDITION


def test_a_repeated_wish_changes_nothing() -> None:
    sent = requeued(dead(Cause.FAILED), NOW, "new")
    assert requeued(sent, NOW + SECOND, "newer") == sent
    given_up = discarded(sent, "first", NOW)
    assert discarded(given_up, "second", NOW + SECOND) == given_up


STEPS = st.lists(st.sampled_from([*Cause, "advance", "requeue", "resolve", "discard"]).map(str), max_size=30)


@given(st.sampled_from(Cause), STEPS, st.integers(1, 200))
def test_a_dead_letter_wakes_by_itself_until_it_rests_and_each_sending_has_its_own_id(
    first: Cause, steps: list[str], pause_s: int
) -> None:
    dead_letter, now = dead(first), NOW
    for number, step in enumerate(steps):
        now += pause_s * SECOND
        before = dead_letter
        with suppress(SomaError):
            dead_letter = _after(dead_letter, step, now, str(number))
        assert dead_letter.requeues - before.requeues == int(dead_letter.sent_id != before.sent_id)
        assert (wake_at(dead_letter) is None) == (dead_letter.state in INACTIVE | {State.REQUEUED})
        if before.state in CLOSED and step != "resolve":
            assert dead_letter == before


def _after(dead_letter: DeadLetterRecord, step: str, now: datetime, id_: str) -> DeadLetterRecord:
    match step:
        case "advance":
            return next_state(dead_letter, now, id_)
        case "requeue":
            return requeued(dead_letter, now, id_)
        case "resolve":
            return resolved(dead_letter, now)
        case "discard":
            return discarded(dead_letter, "why", now)
        case cause:
            return dead(Cause(cause), dead_letter, now)
