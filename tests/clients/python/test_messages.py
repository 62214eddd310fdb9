"""Messages say the same as those of the servers: maps, oneofs, JSON objects, absent fields, values not known yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from soma.executor.v1 import job_pb2
from soma.gateway.v1 import identity_service_pb2
from soma.provenance.v1 import receipt_service_pb2, trace_service_pb2
from soma_client import from_struct, to_struct, types
from soma_client.gen.google.protobuf import Struct

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_a_json_object_is_what_the_servers_read_and_comes_back(given_object: dict[str, object]) -> None:
    read = struct_pb2.Struct.FromString(bytes(to_struct(given_object)))
    assert json_format.MessageToDict(read) == given_object
    assert from_struct(Struct.parse(read.SerializeToString())) == given_object


@pytest.mark.parametrize(
    ("given_object", "place"),
    [
        ({"a": {"b": [1, {2}]}}, r"a\.b\[1\] is a set"),
        ({"a": float("nan")}, "a is nan"),
        ({"t": b""}, "t is a bytes"),
        ({"seed": 2**53 + 1}, "seed is an int beyond .* cannot hold exactly"),
        ({"a": [-(10**5_000)]}, r"a\[0\] is an int beyond"),
    ],
)
def test_what_json_does_not_have_is_refused_with_its_place(given_object: dict[str, object], place: str) -> None:
    with pytest.raises(TypeError, match=place):
        to_struct(given_object)


def test_an_absent_object_is_empty() -> None:
    assert from_struct(None) == {}
    assert from_struct(types.assets.Asset().metadata) == {}


def test_a_value_that_is_newer_than_the_package_is_kept() -> None:
    newer = job_pb2.Job(job_id="j1")
    newer.state = 77  # type: ignore[assignment]
    job = types.executor.Job.parse(newer.SerializeToString())
    assert (job.state.name, job.state.value, str(job.state)) == ("", 77, "UNKNOWN(77)")
    assert job_pb2.Job.FromString(bytes(job)).state == 77


def test_a_field_that_is_newer_than_the_package_is_kept() -> None:
    newer = job_pb2.Job(job_id="j1").SerializeToString() + b"\xfa\x3f\x03new"
    job = types.executor.Job.parse(newer)
    assert job.job_id == "j1"
    assert bytes(job) == newer


def test_absent_is_not_zero() -> None:
    steps = [job_pb2.Step(), job_pb2.Step(quality_score=0.0)]
    assert [types.executor.Step.parse(step.SerializeToString()).quality_score for step in steps] == [None, 0.0]
    assert bytes(types.executor.Step(quality_score=0.0)) == steps[1].SerializeToString()


def test_one_of_several_fields_is_set() -> None:
    event = trace_service_pb2.TraceEvent(step=trace_service_pb2.TraceStep())
    read = types.provenance.TraceEvent.parse(event.SerializeToString())
    assert read.step is not None
    assert (read.job, read.totals, read.trace, read.outline) == (None, None, None, None)


def test_maps_times_and_durations_are_those_of_python() -> None:
    receipt = receipt_service_pb2.Receipt(asset_digests={"a1": "sha"})
    assert types.provenance.Receipt.parse(receipt.SerializeToString()).asset_digests == {"a1": "sha"}
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    execution = job_pb2.Execution.FromString(bytes(types.executor.Execution(start_time=moment)))
    assert execution.start_time.ToDatetime(tzinfo=UTC) == moment
    request = bytes(types.gateway.CreateTokenRequest(ttl=timedelta(minutes=5)))
    assert identity_service_pb2.CreateTokenRequest.FromString(request).ttl.seconds == 300


def test_secrets_are_left_out_of_the_repr_of_messages() -> None:
    key = types.gateway.ApiKey(key_id="k1", secret="soma_dev_secret")
    token = types.gateway.Token(token="a.b.c")
    nested = types.gateway.CreateApiKeyRequest(api_key=key)
    shown = f"{key!r} {token!r} {nested!r} {key} {[key]}"
    assert "k1" in shown
    assert "soma_dev_secret" not in shown
    assert "a.b.c" not in shown
    assert (key.secret, token.token) == ("soma_dev_secret", "a.b.c")
