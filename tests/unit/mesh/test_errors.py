"""Errors say what is wrong, and the table says how they travel."""

from __future__ import annotations

import grpc
import pytest

from mesh.errors import STATUS_MAPPINGS, FieldViolation, Reason, SomaError, invalid, invalid_all, not_found


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_rule_of_a_real_code_and_status(reason: Reason) -> None:
    rule = STATUS_MAPPINGS[reason]
    assert rule.grpc_code in grpc.StatusCode.__members__
    assert 400 <= rule.http_status < 600


def test_what_may_be_retried_is_never_the_callers_mistake() -> None:
    codes = {STATUS_MAPPINGS[reason].grpc_code for reason in Reason if STATUS_MAPPINGS[reason].retryable}
    assert codes == {"ABORTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


def test_an_absent_object_reads_like_another_tenants() -> None:
    error = not_found("job", "j1")
    assert (error.reason, str(error)) == (Reason.NOT_FOUND, "job 'j1' does not exist")


def test_a_wrong_field_is_named_in_text_and_details() -> None:
    error = invalid("page_size", "must be at most 1000")
    assert error.fields == (FieldViolation("page_size", "must be at most 1000"),)
    assert error.message == "page_size: must be at most 1000"


def test_all_wrong_fields_are_told_at_once() -> None:
    error = invalid_all([FieldViolation("a", "is empty"), FieldViolation("b", "is negative")])
    assert error.message == "a: is empty; b: is negative"


def test_no_violation_is_no_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        invalid_all([])


def test_metadata_cannot_be_changed_afterwards() -> None:
    given = {"a": "b"}
    error = SomaError(Reason.CONFLICT, "no", metadata=given)
    given["a"] = "c"
    assert error.metadata == {"a": "b"}
    with pytest.raises(TypeError):
        error.metadata["a"] = "d"  # type: ignore[index]
