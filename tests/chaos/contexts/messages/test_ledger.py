"""The reconciliation finds each thing that can be wrong with a message, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.contexts.messages.ledger import (
    DeadLetterFound,
    Entry,
    Findings,
    Flaw,
    FlawKind,
    JobFound,
    Kind,
    RecordFound,
    Sent,
    reconcile,
)

JOB = Sent("m1", Kind.JOB, ("j1",), seen=(1, 2, 3))
FACT = Sent("m2", Kind.FACT, ("m2",))
POISON = Sent("m3", Kind.POISON, ("m3",), cause="MALFORMED")
RECORD = RecordFound("COMPLETED", executions=("e1",))
MADE = JobFound("j1", "m1", "COMPLETED", results={"c0": 1}, named=("a1",), stored=("a1",), record=RECORD)
ENTRY = Entry("m2", "entry 1")
LETTER = DeadLetterFound("m3", "letter 1", "MALFORMED")
ALL = (JOB, FACT, POISON)


def wrongs(found: Findings, *sent: Sent) -> set[tuple[str, FlawKind]]:
    return {(flaw.message_id, flaw.wrong) for flaw in reconcile(sent or ALL, found)}


def test_one_answer_or_one_dead_letter_for_each_is_right() -> None:
    assert wrongs(Findings([MADE], [ENTRY], [LETTER])) == set()


def test_what_was_accepted_and_is_nowhere_is_lost() -> None:
    assert wrongs(Findings()) == {(each.message_id, FlawKind.LOST) for each in ALL}


def test_what_was_never_accepted_may_be_there_or_not() -> None:
    unsure = [replace(each, answers=(), seen=()) for each in ALL]
    assert wrongs(Findings(), *unsure) == set()
    assert wrongs(Findings([MADE], [ENTRY], [LETTER]), *unsure) == set()


def test_what_was_never_accepted_may_not_be_there_twice_or_unended() -> None:
    unsure = replace(JOB, answers=(), seen=())
    other = replace(MADE, job_id="j2", ended=False)
    assert wrongs(Findings([MADE, other]), unsure) == {("m1", FlawKind.DOUBLED), ("m1", FlawKind.UNANSWERED)}


@pytest.mark.parametrize(
    ("found", "message_id"),
    [
        (Findings([MADE, replace(MADE, job_id="j2")], [ENTRY], [LETTER]), "m1"),
        (Findings([MADE], [ENTRY, Entry("m2", "entry 2")], [LETTER]), "m2"),
        (Findings([MADE], [ENTRY], [LETTER, replace(LETTER, name="letter 2")]), "m3"),
    ],
)
def test_what_is_there_twice_is_doubled(found: Findings, message_id: str) -> None:
    assert wrongs(found, replace(JOB, answers=()), FACT, POISON) == {(message_id, FlawKind.DOUBLED)}


@pytest.mark.parametrize(
    ("found", "message_id"),
    [
        (Findings([MADE], [ENTRY], [LETTER, replace(LETTER, message_id="m1")]), "m1"),
        (Findings([MADE], [ENTRY], [LETTER, replace(LETTER, message_id="m2")]), "m2"),
        (Findings([MADE], [ENTRY, Entry("m3", "entry 3")], [LETTER]), "m3"),
    ],
)
def test_what_is_answered_and_dead_lettered_is_told(found: Findings, message_id: str) -> None:
    assert wrongs(found) == {(message_id, FlawKind.BOTH)}


def test_a_healthy_message_that_became_a_dead_letter_is_told() -> None:
    assert wrongs(Findings([MADE], [], [LETTER, replace(LETTER, message_id="m2")])) == {("m2", FlawKind.DEAD_LETTERED)}


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        (replace(MADE, ended=False, terminals=0, state="RUNNING"), FlawKind.UNANSWERED),
        (replace(MADE, terminals=0), FlawKind.UNANSWERED),
        (replace(MADE, terminals=2), FlawKind.ANSWERED_TWICE),
        (replace(MADE, sequences=(1, 2, 4)), FlawKind.GAP),
        (replace(MADE, sequences=(1, 2, 3, 4)), FlawKind.GAP),
        (replace(MADE, results={"c0": 2}), FlawKind.RESULT),
        (replace(MADE, results={"c0": 0}), FlawKind.RESULT),
        (replace(MADE, stored=("a1", "a2")), FlawKind.RESULT),
        (replace(MADE, stored=()), FlawKind.RESULT),
        (replace(MADE, record=None), FlawKind.UNRECORDED),
        (replace(MADE, record=replace(RECORD, complete=False)), FlawKind.UNRECORDED),
        (replace(MADE, record=replace(RECORD, state="FAILED")), FlawKind.UNRECORDED),
        (replace(MADE, record=replace(RECORD, receipts=0)), FlawKind.UNRECORDED),
        (replace(MADE, record=replace(RECORD, receipts=2)), FlawKind.UNRECORDED),
        (replace(MADE, record=replace(RECORD, executions=("e1", "e1"))), FlawKind.UNRECORDED),
    ],
)
def test_a_job_that_is_not_whole_is_told(changed: JobFound, wrong: FlawKind) -> None:
    assert wrongs(Findings([changed], [ENTRY], [LETTER])) == {("m1", wrong)}


def test_a_timeline_that_its_client_saw_with_a_repetition_is_told() -> None:
    assert wrongs(Findings([MADE]), replace(JOB, seen=(1, 2, 2, 3))) == {("m1", FlawKind.GAP)}


def test_an_answer_that_names_another_job_is_told() -> None:
    assert wrongs(Findings([MADE]), replace(JOB, answers=("j1", "j9"))) == {("m1", FlawKind.MISNAMED)}


def test_a_dead_letter_with_another_cause_is_told() -> None:
    assert wrongs(Findings([MADE], [ENTRY], [replace(LETTER, cause="TIMEOUT")])) == {("m3", FlawKind.CAUSE)}


def test_what_no_client_sent_is_told() -> None:
    found = Findings([replace(MADE, message_id="x")], [Entry("y", "e")], [DeadLetterFound("z", "l", "FAILED")])
    assert {flaw.message_id: flaw.wrong for flaw in reconcile([], found)} == dict.fromkeys("xyz", FlawKind.STRANGER)


def test_a_flaw_is_told_in_words() -> None:
    assert str(Flaw(FlawKind.LOST, "m1", "accepted as j1")) == "m1: lost: accepted as j1"
