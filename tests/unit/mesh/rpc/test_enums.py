"""Enums of the contracts and the names of their values."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from mesh.rpc.enums import EnumCodec
from soma.executor.v1.job_pb2 import JOB_STATE_PENDING, JobState
from tests.request_ids import methods_with_request_id

CODEC = EnumCodec(JobState)


def test_a_name_is_without_the_prefix() -> None:
    assert CODEC.name(JOB_STATE_PENDING) == "PENDING"
    assert CODEC.number("PENDING") == CODEC.number("pending") == JOB_STATE_PENDING


def test_unspecified_has_no_name_and_neither_has_what_is_not_known() -> None:
    assert (CODEC.name(0), CODEC.name(999)) == ("", "")
    assert (CODEC.number(""), CODEC.number("UNSPECIFIED")) == (0, 0)


def test_a_name_that_no_value_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        CODEC.number("FINISHED")


def test_every_enum_of_the_contracts_reads_back() -> None:
    files = {method.containing_service.file for method in methods_with_request_id()}
    files |= {needed for file in list(files) for needed in file.dependencies}
    enums = [enum for file in files if file.package.startswith("soma.") for enum in file.enum_types_by_name.values()]
    assert len(enums) > 10
    for enum in enums:
        codec = EnumCodec(EnumTypeWrapper(descriptor_pool.Default().FindEnumTypeByName(enum.full_name)))
        for value in enum.values:
            assert codec.number(codec.name(value.number)) == value.number
