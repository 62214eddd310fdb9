"""The reasons in the contract and those in the code are the same, and the table covers them."""

from __future__ import annotations

from mesh.errors import STATUS_MAPPINGS, Reason
from soma.common.v1 import error_pb2

_PREFIX = "ERROR_REASON_"
_DECLARED = {name.removeprefix(_PREFIX) for name in error_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118


def test_every_declared_reason_exists_in_code_and_none_besides() -> None:
    assert {reason.name for reason in Reason} == _DECLARED


def test_a_reason_is_sent_under_its_declared_name() -> None:
    assert all(reason.name == reason.value for reason in Reason)


def test_the_table_has_a_rule_for_every_reason() -> None:
    assert set(STATUS_MAPPINGS) == set(Reason)
