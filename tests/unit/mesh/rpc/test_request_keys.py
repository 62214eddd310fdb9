"""The key of a request is of the request as it was received."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import ParseDict

from mesh.idempotency import NO_KEY
from mesh.rpc.request_keys import LARGE_BYTES, request_key
from soma.executor.v1.job_service_pb2 import CancelJobRequest, ResumeJobRequest, SubmitJobRequest
from soma.selector.v1.selection_pb2 import SelectRequest
from tests.request_ids import methods_with_request_id


async def test_without_an_id_there_is_no_key() -> None:
    assert await request_key(CancelJobRequest(job_id="j")) is NO_KEY


async def test_each_field_counts() -> None:
    one = await request_key(CancelJobRequest(job_id="j", request_id="r", reason="a"))
    assert one == await request_key(CancelJobRequest(job_id="j", request_id="r", reason="a"))
    assert one.digest != (await request_key(CancelJobRequest(job_id="j", request_id="r", reason="b"))).digest
    assert one.digest != (await request_key(CancelJobRequest(job_id="k", request_id="r", reason="a"))).digest


async def test_what_is_redacted_later_counts_as_it_was_sent() -> None:
    def asked(prompt: str) -> SelectRequest:
        return ParseDict({"request_id": "r", "requirements": {"params": {"prompt": prompt}}}, SelectRequest())

    one, again, other = [await request_key(asked(f"to {name}@example.com")) for name in ("ann", "ann", "bob")]
    assert one == again
    assert one.digest != other.digest


async def test_equal_fields_of_another_method_are_another_request() -> None:
    cancel = await request_key(CancelJobRequest(job_id="j", request_id="r"))
    resume = await request_key(ResumeJobRequest(job_id="j", request_id="r"))
    assert cancel.digest != resume.digest


async def test_the_order_of_the_names_in_a_json_object_does_not_count() -> None:
    plans = [{"version": "1.0", "title": "t", "tasks": []}, {"tasks": [], "title": "t", "version": "1.0"}]
    keys = [await request_key(ParseDict({"plan": plan, "request_id": "r"}, SubmitJobRequest())) for plan in plans]
    assert keys[0] == keys[1]


async def test_a_large_request_has_a_key_of_the_same_form() -> None:
    large = CancelJobRequest(job_id="j", request_id="r", reason="a" * LARGE_BYTES)
    assert len((await request_key(large)).digest) == len((await request_key(CancelJobRequest(request_id="r"))).digest)


@pytest.mark.parametrize("name", [method.full_name for method in methods_with_request_id()])
async def test_every_request_with_an_id_has_a_key(name: str) -> None:
    method = descriptor_pool.Default().FindMethodByName(name)
    request = message_factory.GetMessageClass(method.input_type)()
    request.request_id = "r"  # type: ignore[attr-defined]
    assert (await request_key(request)).request_id == "r"  # type: ignore[arg-type]
