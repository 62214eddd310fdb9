"""Keys of requests."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey


def test_equal_parts_have_equal_digests_and_others_have_others() -> None:
    assert RequestKey.for_request("r", b"one", b"two") == RequestKey.for_request("r", b"one", b"two")
    digests = {
        RequestKey.for_request("r", *parts).digest for parts in [(b"one", b"two"), (b"onetwo",), (b"on", b"etwo"), ()]
    }
    assert len(digests) == 4


def test_the_same_request_is_the_same() -> None:
    RequestKey.for_request("r", b"one").require_same(RequestKey.for_request("r", b"one").digest)


def test_another_request_under_the_same_id_is_refused() -> None:
    with pytest.raises(SomaError) as refused:
        RequestKey.for_request("r", b"one").require_same(RequestKey.for_request("r", b"another").digest)
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
    assert "request_id" in str(refused.value)


@pytest.mark.parametrize("recorded", ["", "02", "ab" * 32, "02" + "ab" * 31])
def test_what_an_earlier_version_recorded_counts_as_the_same(recorded: str) -> None:
    RequestKey.for_request("r", b"one").require_same(recorded)


def test_no_key_has_no_id() -> None:
    assert (NO_KEY.request_id, NO_KEY.digest) == ("", "")
