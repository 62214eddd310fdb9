"""Messages as commands read and print them."""

from __future__ import annotations

import json

import pytest

from soma.executor.v1.job_pb2 import Job, JobEvent, JobState
from soma.provenance.v1.dead_letter_service_pb2 import DeadLetter, RequeueDeadLettersResponse
from soma.provenance.v1.receipt_service_pb2 import Receipt
from soma.provenance.v1.trace_service_pb2 import TraceTotals
from soma_cli import fields
from soma_cli.commands.audit import VERIFICATION, VerifyAuditResponse
from soma_cli.commands.dead_letters import DEAD_LETTER, REQUEUED
from soma_cli.errors import EdgeError
from soma_cli.messages import enum_name, enum_names, get_optional, get_time, message_fields, parse
from soma_cli.output import print_json


def test_a_field_that_is_not_known_yet_is_left_out() -> None:
    assert parse(Job, '{"job_id": "j", "colour": "blue", "state": "JOB_STATE_PAUSED"}') == Job(job_id="j")


@pytest.mark.parametrize("text", ["[]", "1", "no JSON", '{"job_id": {}}'])
def test_an_answer_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(EdgeError, match="something that is not a Job"):
        parse(Job, text)


def test_an_enum_is_its_name_or_the_number_of_one_that_is_not_known() -> None:
    assert enum_name(Job(state=JobState.JOB_STATE_RUNNING), "state") == "JOB_STATE_RUNNING"
    assert enum_name(parse(Job, '{"state": 99}'), "state") == "99"
    assert enum_names(parse(Receipt, '{"causes": ["RECEIPT_CAUSE_TOOL_FAILED", 99]}'), "causes") == [
        "RECEIPT_CAUSE_TOOL_FAILED", "99",
    ]  # fmt: skip


def test_zero_and_not_set_are_told_apart() -> None:
    assert get_optional(TraceTotals(mean_quality=0.0), "mean_quality") == 0.0
    assert get_optional(TraceTotals(), "mean_quality") is None
    assert get_time(Job(), "create_time") is None


def test_programs_get_numbers_names_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    text = """{"dlq_id": "d", "state": "DEAD_LETTER_STATE_WAITING", "size_bytes": "12", "payload": {"tries": 3},
               "create_time": "2026-03-01T12:00:00.040Z"}"""
    print_json(message_fields(parse(DeadLetter, text), DEAD_LETTER))
    assert {"state": "DEAD_LETTER_STATE_WAITING", "size_bytes": 12, "payload": {"tries": 3},
            "create_time": "2026-03-01T12:00:00.040000Z", "expire_time": None, "topic": "",
            }.items() <= json.loads(capsys.readouterr().out).items()  # fmt: skip


@pytest.mark.parametrize(
    ("message", "names"),
    [(Job(), fields.JOB), (JobEvent(), fields.JOB_EVENT), (TraceTotals(), fields.TRACE_TOTALS),
     (VerifyAuditResponse(), VERIFICATION), (DeadLetter(), DEAD_LETTER), (RequeueDeadLettersResponse(), REQUEUED)],
    ids=lambda value: type(value).__name__ if hasattr(value, "DESCRIPTOR") else "",
)  # fmt: skip
def test_every_field_that_is_printed_is_one_of_the_contract(message: Job, names: fields.Fields) -> None:
    assert list(message_fields(message, names)) == [name if isinstance(name, str) else name[0] for name in names]
