"""Times and lengths that a message can hold and Python cannot; empty objects."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import Reason, SomaError
from mesh.rpc.wellknown import duration, moment, seconds_of, struct, timestamp
from soma.executor.v1.job_pb2 import Execution

INT64 = (1 << 63) - 1
INT32 = (1 << 31) - 1


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(10**13, 0), (INT64, INT32), (-INT64 - 1, 0), (253_402_300_800, 0), (-62_135_596_801, 0), (1, 10**9), (1, -1)],
)
def test_what_is_no_time_is_refused_by_the_name_of_its_field(seconds: int, nanos: int) -> None:
    with pytest.raises(SomaError) as refused:
        moment(Timestamp(seconds=seconds, nanos=nanos), "expire_time")
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == ["expire_time"]


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    ids=str,
)
def test_every_time_of_python_survives(at: datetime) -> None:
    message = timestamp(at)
    assert message is not None
    assert moment(message) == at


@pytest.mark.parametrize(
    ("seconds", "nanos", "length"),
    [
        (0, 0, 0.0),
        (1, 500_000_000, 1.5),
        (0, 1_999, 0.000001),
        (-1, -500_000_000, -1.5),
        (10**15, 0, 1e15),
        (INT64, INT32, float(INT64)),
        (-INT64 - 1, -INT32, float(-INT64)),
    ],
)
def test_a_length_of_any_size_has_seconds(seconds: int, nanos: int, length: float) -> None:
    assert seconds_of(Duration(seconds=seconds, nanos=nanos)) == length


@pytest.mark.parametrize("length", [0.1, 12.345678, 600.0, 31_622_400.0])
def test_a_length_survives(length: float) -> None:
    message = duration(length)
    assert message is not None
    assert seconds_of(message) == length


def test_no_object_leaves_a_field_unset_and_an_empty_object_sets_it() -> None:
    assert not Execution(params=struct(None)).HasField("params")
    assert Execution(params=struct({})).HasField("params")
