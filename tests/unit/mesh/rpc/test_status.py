"""An error survives the wire."""

from __future__ import annotations

import string

import grpc
import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import (
    STATUS_MAPPINGS,
    FieldViolation,
    PreconditionViolation,
    QuotaViolation,
    Reason,
    SomaError,
    invalid_all,
    not_found,
)
from mesh.rpc import status

short = st.text(max_size=40)
key = st.text(string.ascii_lowercase + "_", min_size=1, max_size=20)
errors = st.builds(
    SomaError,
    st.sampled_from(Reason),
    st.text(max_size=200),
    metadata=st.dictionaries(key, short, max_size=4),
    fields=st.lists(st.builds(FieldViolation, short, short), max_size=4),
    quotas=st.lists(st.builds(QuotaViolation, short, short), max_size=3),
    preconditions=st.lists(st.builds(PreconditionViolation, short, short, short), max_size=3),
    retry_after_s=st.none() | st.integers(0, 10**6).map(lambda millis: millis / 1_000),
)


def everything(error: SomaError) -> tuple[object, ...]:
    return (
        error.reason,
        error.message,
        dict(error.metadata),
        error.fields,
        error.quotas,
        error.preconditions,
        error.retry_after_s,
    )


@given(errors)
def test_an_error_comes_back_as_it_was_sent(error: SomaError) -> None:
    wire = status.to_status(error).SerializeToString()
    assert everything(status.from_status(status_pb2.Status.FromString(wire))) == everything(error)


@given(errors)
def test_the_code_on_the_wire_is_the_tables(error: SomaError) -> None:
    assert status.to_status(error).code == grpc.StatusCode[STATUS_MAPPINGS[error.reason].grpc_code].value[0]


def test_the_trace_id_is_added_to_the_metadata() -> None:
    assert status.from_status(status.to_status(not_found("job", "1"), "abc")).metadata == {
        "kind": "job",
        "trace_id": "abc",
    }


def test_a_trace_id_that_looks_like_an_account_number_is_told_as_it_is() -> None:
    looks_so = "dd017fa0563f321c389362962683b27e"
    error = SomaError(Reason.CONFLICT, "no", metadata={"trace_id": looks_so, "account": looks_so})
    assert status.from_status(status.to_status(error)).metadata == {"trace_id": looks_so, "account": "[iban]"}
    assert status.from_status(status.to_status(not_found("job", "1"), looks_so)).metadata["trace_id"] == looks_so


def test_more_violations_than_headers_carry_are_counted() -> None:
    error = invalid_all([FieldViolation(f"steps[{i}].name", "must not be empty, and so on") for i in range(1_000)])
    sent = status.to_status(error)
    assert sent.ByteSize() < 5_000
    back = status.from_status(sent)
    shown = len(back.fields) - 1
    assert back.fields[:shown] == error.fields[:shown]
    assert back.fields[-1].description == f"{1_000 - shown} more fields are wrong"


def test_a_text_that_is_no_unicode_is_made_so() -> None:
    assert status.from_status(status.to_status(SomaError(Reason.CONFLICT, "bad \ud800 text"))).message == "bad ? text"


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_status_of_another_system_is_understood_by_its_code(code: grpc.StatusCode) -> None:
    error = status.from_status(status_pb2.Status(code=code.value[0], message="theirs"))
    assert isinstance(error.reason, Reason)
    assert error.message == "theirs"


def test_details_of_another_domain_are_not_taken_for_ours() -> None:
    sent = status.to_status(SomaError(Reason.BUDGET_EXCEEDED, "no", metadata={"a": "b"}))
    sent.details[0].value = sent.details[0].value.replace(b"soma", b"else")
    back = status.from_status(sent)
    assert back.reason is Reason.OVERLOADED
    assert not back.metadata
