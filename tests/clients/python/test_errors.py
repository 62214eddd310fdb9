"""A failed call is an exception of its gRPC code, with all that the mesh said, and nothing of the credential."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import wrappers_pb2
from google.rpc import error_details_pb2

import soma_client
from soma.executor.v1 import job_pb2
from soma_client import CallError, InvalidArgumentError, PermissionDeniedError, SomaClient, UnauthenticatedError
from soma_client.credentials import Credential
from tests.clients.python.edge import JOBS, KEY, Edge, Failure, Machine, client_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GET = f"{JOBS}/GetJob"
CODES = sorted(code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK)


async def failed(client: SomaClient, edge: Edge, failure: Failure) -> CallError:
    edge.answer(GET, *[failure] * 3)
    with pytest.raises(CallError) as raised:
        await client.jobs.get("j1")
    return raised.value


@pytest.mark.parametrize("code", CODES)
async def test_each_code_has_its_exception(client: SomaClient, edge: Edge, code: str) -> None:
    error = await failed(client, edge, Failure(code, "what happened"))
    assert error.code == code
    assert type(error) is not CallError
    assert getattr(soma_client, type(error).__name__) is type(error)
    assert str(error).startswith(f"what happened ({code}, {GET}, request id-")


async def test_a_bad_request_names_each_field_and_what_is_wrong_with_it(client: SomaClient, edge: Edge) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation
    fields = [violation(field="job_id", description="must be a UUID"), violation(field="after", description="below 0")]
    details = (error_details_pb2.BadRequest(field_violations=fields),)
    error = await failed(client, edge, Failure("INVALID_ARGUMENT", "two fields", "INVALID_PLAN", details))
    assert isinstance(error, InvalidArgumentError)
    assert [(item.subject, item.description) for item in error.field_violations] == [
        ("job_id", "must be a UUID"), ("after", "below 0"),
    ]  # fmt: skip
    assert str(error).splitlines()[0].startswith("two fields (INVALID_ARGUMENT INVALID_PLAN, ")
    assert str(error).splitlines()[1:] == ["  job_id: must be a UUID", "  after: below 0"]


async def test_budgets_states_and_metadata_are_decoded(client: SomaClient, edge: Edge) -> None:
    quota = error_details_pb2.QuotaFailure(violations=[{"subject": "budget:image", "description": "is used up"}])
    state = error_details_pb2.PreconditionFailure(
        violations=[{"type": "STATE", "subject": "job", "description": "runs"}]
    )
    details = (quota, state)
    found = (await failed(client, edge, Failure("RESOURCE_EXHAUSTED", "no", "BUDGET_EXCEEDED", details))).details
    assert [item.subject for item in found.quota_violations] == ["budget:image"]
    assert [item.description for item in found.precondition_violations] == ["runs"]
    assert found.retry_after_s is None


async def test_details_of_another_kind_are_left_out(client: SomaClient, edge: Edge) -> None:
    details = (wrappers_pb2.StringValue(value="x"), error_details_pb2.DebugInfo(detail="y"))
    error = await failed(client, edge, Failure("PERMISSION_DENIED", "no", "POLICY_DENIED", details))
    assert isinstance(error, PermissionDeniedError)
    assert error.reason == "POLICY_DENIED"


async def test_an_exception_can_be_sent_to_another_process(client: SomaClient, edge: Edge) -> None:
    error = await failed(client, edge, Failure("ABORTED", "again", "CONFLICT"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_nobody_at_the_address_is_unavailable(machine: Machine) -> None:
    async with SomaClient("127.0.0.1:1", api_key=KEY, plaintext=True, system=machine.system()) as client:
        with pytest.raises(soma_client.UnavailableError):
            await client.jobs.get("j1")


async def test_the_credential_is_in_no_repr_log_or_exception(
    edge: Edge, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(edge, machine) as client:
        await failed(client, edge, Failure())
        edge.answers[GET].clear()
        error = await failed(client, edge, Failure("UNAUTHENTICATED", "who?"))
        assert isinstance(error, UnauthenticatedError)
        shown = [repr(client), repr(client.jobs), repr(vars(client)), repr(error), str(error), repr(error.__cause__)]
    shown += [repr(Credential("api_key", KEY)), caplog.text]
    assert f"{GET} failed with UNAVAILABLE, sent again in" in caplog.text
    assert [text for text in shown if KEY in text] == []
    assert edge.calls[0].metadata["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("bad", ["", f"{KEY}\n", f" {KEY}", f"{KEY} x", "schlüssel"])
async def test_a_credential_that_cannot_be_sent_is_refused_unseen(edge: Edge, machine: Machine, bad: str) -> None:
    for options in ({"api_key": bad}, {"token": bad}):
        with pytest.raises(ValueError, match=r"^(api_key|token) is empty or has a space") as raised:
            SomaClient("localhost:8010", **options)
        assert not bad or bad not in str(raised.value)
    async with client_of(edge, machine, token=lambda: bad) as client:
        with pytest.raises(ValueError, match=r"^token is empty"):
            await client.jobs.get("j1")
    assert edge.calls == []


async def test_a_source_of_tokens_may_be_a_coroutine(edge: Edge, machine: Machine) -> None:
    async def fresh() -> str:
        return "fresh"

    async with client_of(edge, machine, token=fresh) as client:
        edge.answer(GET, job_pb2.Job(job_id="j1"))
        await client.jobs.get("j1")
    assert edge.calls[0].metadata["authorization"] == "Bearer fresh"


def refusals() -> list[tuple[str, Callable[[], object]]]:
    return [
        ("not both", lambda: SomaClient("localhost:8010", api_key=KEY, token="t")),
        ("not host:port", lambda: SomaClient("localhost", api_key=KEY)),
        ("use TLS", lambda: SomaClient("mesh.example:8010", api_key=KEY, plaintext=True)),
        ("not both", lambda: SomaClient("localhost:8010", ca_file="ca.pem", plaintext=True)),
    ]


@pytest.mark.parametrize(("text", "make"), refusals())
def test_arguments_that_make_no_sense_are_refused(text: str, make: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(ValueError, match=text) as raised:
        make()
    assert KEY not in str(raised.value)


def test_a_missing_ca_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pem"):
        SomaClient("localhost:8010", api_key=KEY, ca_file="nowhere.pem")
