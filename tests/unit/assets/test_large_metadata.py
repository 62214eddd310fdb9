"""Metadata of uploads that are too large are refused before they are read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.rpc.wellknown import struct
from soma.assets.v1.asset_service_pb2 import UploadAssetRequest
from svc_assets.domain.rules import MAX_METADATA_BYTES, check_upload_metadata
from svc_assets.rpc import convert

ANN = Caller("acme", "ann", (), (), "k1", "t")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)


@pytest.mark.parametrize("value", [[1] * 50_000, [[]] * 9_000, "x" * 100_000])
def test_large_metadata_are_refused_unread(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> None:
        pytest.fail("was read")

    monkeypatch.setattr(convert, "json_object", read)
    with pytest.raises(SomaError) as refused:
        convert.upload_metadata_from_proto(UploadAssetRequest(metadata=struct({"data": value})), ANN)  # type: ignore[dict-item]
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == ["metadata"]


@given(st.lists(JSON, min_size=1), st.integers(1, 9_000))
def test_what_is_within_the_limit_is_read(values: list[object], times: int) -> None:
    room = MAX_METADATA_BYTES - len('{"data": []}')
    fitting = min(times, room // max(1, len(json.dumps(values)[1:-1]) + 2)) * values
    metadata = struct({"data": fitting})  # type: ignore[dict-item]
    declared = convert.upload_metadata_from_proto(UploadAssetRequest(metadata=metadata), ANN)
    assert len(json.dumps({"data": fitting})) <= MAX_METADATA_BYTES
    assert len(declared.metadata["data"]) == len(fitting)  # type: ignore[arg-type]


def test_the_most_values_that_fit_are_read() -> None:
    most = [1] * ((MAX_METADATA_BYTES - len('{"": []}')) // 3)
    check_upload_metadata(convert.upload_metadata_from_proto(UploadAssetRequest(metadata=struct({"": most})), ANN))  # type: ignore[dict-item]
