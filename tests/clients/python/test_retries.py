"""A call is sent again where the contracts allow it, as the same request, within its deadline; else never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from soma.executor.v1 import job_pb2, job_service_pb2
from soma_client import CallError, DeadlineExceededError, ResourceExhaustedError, UnavailableError
from soma_client.calls import Caller
from soma_client.channel import Target
from soma_client.contract import Contract
from soma_client.gen.soma.executor import v1 as executor_v1
from tests.clients.python.edge import JOBS, KEY, Edge, Failure, Machine

if TYPE_CHECKING:
    from soma_client import SomaClient

ROOT = Path(__file__).resolve().parents[3]
GET, SUBMIT, LIST = f"{JOBS}/GetJob", f"{JOBS}/SubmitJob", f"{JOBS}/ListJobs"
JOB = job_pb2.Job(job_id="j1")
PLAN = {"version": "1.0"}


def retry_info(seconds: int) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))


async def test_a_call_that_reached_nobody_is_sent_three_times_at_most(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, Failure(), Failure(), JOB)
    assert (await client.jobs.get("j1")).job_id == "j1"
    edge.answer(GET, Failure(), Failure(), Failure(message="the third"), JOB)
    with pytest.raises(UnavailableError, match="the third"):
        await client.jobs.get("j1")
    assert len(edge.calls) == 6


async def test_all_attempts_are_one_request(client: SomaClient, edge: Edge) -> None:
    edge.answer(SUBMIT, Failure(), Failure(), JOB, JOB)
    await client.jobs.submit(PLAN)
    await client.jobs.submit(PLAN)
    ids = [request.request_id for request in edge.asked(SUBMIT)]
    assert ids[0]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    calls = [call.metadata["x-request-id"] for call in edge.calls]
    assert calls[0] == calls[1] == calls[2] != calls[3]


async def test_a_given_request_id_is_sent(client: SomaClient, edge: Edge) -> None:
    edge.answer(SUBMIT, JOB)
    await client.jobs.submit(PLAN, request_id="mine")
    assert edge.asked(SUBMIT)[0].request_id == "mine"


async def test_pauses_are_random_up_to_a_bound_that_doubles(client: SomaClient, edge: Edge, machine: Machine) -> None:
    edge.answer(GET, Failure(), Failure(), JOB)
    await client.jobs.get("j1")
    assert machine.bounds == [(0.0, 0.1), (0.0, 0.2)]


def test_pauses_have_a_bound_however_many_failures() -> None:
    retry = Contract.load().rule(GET).retry
    assert retry is not None
    assert max(retry.ceiling_s(failures) for failures in range(1, 2_000)) == 1.0


async def test_a_pause_that_the_mesh_asks_for_is_kept(client: SomaClient, edge: Edge, machine: Machine) -> None:
    edge.answer(GET, Failure(details=(retry_info(2),)), JOB)
    await client.jobs.get("j1")
    assert machine.pauses == [2.1]


async def test_a_pause_beyond_the_deadline_ends_the_call_at_once(
    client: SomaClient, edge: Edge, machine: Machine
) -> None:
    edge.answer(GET, Failure(details=(retry_info(60),)), JOB)
    with pytest.raises(UnavailableError) as raised:
        await client.jobs.get("j1")
    assert raised.value.retry_after_s == 60
    assert (len(edge.calls), machine.pauses) == (1, [])


@pytest.mark.parametrize(
    "code",
    ["INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED", "UNKNOWN", "UNAUTHENTICATED", "NOT_FOUND"],
)
async def test_no_other_failure_is_sent_again(client: SomaClient, edge: Edge, code: str) -> None:
    edge.answer(GET, Failure(code, details=(retry_info(1),)), JOB)
    with pytest.raises(CallError) as raised:
        await client.jobs.get("j1")
    assert (raised.value.code, len(edge.calls)) == (code, 1)


async def test_the_caller_learns_when_to_come_back(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, Failure("RESOURCE_EXHAUSTED", reason="OVERLOADED", details=(retry_info(3),)))
    with pytest.raises(ResourceExhaustedError, match="retry after 3 s") as raised:
        await client.jobs.get("j1")
    assert (raised.value.reason, raised.value.retry_after_s) == ("OVERLOADED", 3)


async def test_the_deadline_is_that_of_the_contract_for_all_attempts_together(
    client: SomaClient, edge: Edge, machine: Machine
) -> None:
    def late(_: object) -> Failure:
        machine.now_s += 3.0
        return Failure()

    edge.answer(GET, late, late, JOB)
    with pytest.raises(UnavailableError):
        await client.jobs.get("j1")
    left = [call.left_s for call in edge.calls]
    assert len(left) == 2
    assert left[0] is not None
    assert left[1] is not None
    assert left[1] < 2.5 < left[0] < 5.5  # gRPC rounds


async def test_a_caller_may_set_another_deadline(client: SomaClient, edge: Edge, machine: Machine) -> None:
    edge.answer(GET, JOB)
    await client.jobs.get("j1", timeout=2.5)
    left_s = edge.calls[0].left_s
    assert left_s is not None
    assert left_s < 3
    with pytest.raises(DeadlineExceededError):
        await client.jobs.get("j1", timeout=0)
    assert len(edge.calls) == 1


async def test_retries_stop_while_most_calls_fail(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, *[Failure() for _ in range(100)])
    for _ in range(50):
        with pytest.raises(UnavailableError):
            await client.jobs.get("j1")
    assert len(edge.calls) <= 55
    edge.answers[GET].clear()
    edge.answer(LIST, *[job_service_pb2.ListJobsResponse() for _ in range(100)])
    for _ in range(100):
        await client.jobs.list().first(1)
    edge.answer(GET, Failure(), JOB)
    assert (await client.jobs.get("j1")).job_id == "j1"


async def test_a_response_stream_is_not_sent_again_by_itself(edge: Edge, machine: Machine) -> None:
    path = f"{JOBS}/WatchJob"
    edge.answer(path, [Failure()], [job_pb2.JobEvent(sequence=1)])
    caller = Caller(Target(f"127.0.0.1:{edge.port}", plaintext=True), None, system=machine.system())
    with pytest.raises(UnavailableError):
        await anext(caller.stream(path, executor_v1.WatchJobRequest(job_id="j1"), executor_v1.JobEvent))
    await caller.close()
    assert (len(edge.calls), edge.calls[0].left_s is None or edge.calls[0].left_s > 1e6) == (1, True)


async def test_every_attempt_carries_the_credential(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, Failure(), JOB)
    await client.jobs.get("j1")
    assert [call.metadata["authorization"] for call in edge.calls] == [f"Bearer {KEY}"] * 2


def test_deadlines_and_retries_are_those_of_the_contracts() -> None:
    config = json.loads((ROOT / "protos" / "service_config.json").read_text())
    contract = Contract.load()
    for entry in config["methodConfig"]:
        for name in entry["name"]:
            rule = contract.rule(f"/{name['service']}/{name['method']}")
            assert (rule.retry is not None) == ("retryPolicy" in entry)
            assert f"{rule.timeout_s:g}s" == entry.get("timeout", "infs")
