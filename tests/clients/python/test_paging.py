"""Lists read their pages as they are needed, with the same filters, to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soma.executor.v1 import job_pb2, job_service_pb2
from soma_client import types
from tests.clients.python.edge import JOBS, Edge, Failure

if TYPE_CHECKING:
    from soma_client import SomaClient

LIST = f"{JOBS}/ListJobs"
COMPLETED = types.executor.JobState.COMPLETED


def page(*ids: str, token: str = "") -> job_service_pb2.ListJobsResponse:
    return job_service_pb2.ListJobsResponse(jobs=[job_pb2.Job(job_id=name) for name in ids], next_page_token=token)


async def test_the_entries_of_all_pages_come_in_order(client: SomaClient, edge: Edge) -> None:
    edge.answer(LIST, page("a", "b", token="t1"), page(token="t2"), page("c"))
    assert [job.job_id async for job in client.jobs.list(state=COMPLETED, page_size=2)] == ["a", "b", "c"]
    asked = [(request.state, request.page_size, request.page_token) for request in edge.asked(LIST)]
    assert asked == [(3, 2, ""), (3, 2, "t1"), (3, 2, "t2")]


async def test_nothing_is_read_before_it_is_needed(client: SomaClient, edge: Edge) -> None:
    edge.answer(LIST, page("a", "b", token="t1"), page("c", "d", token="t2"))
    jobs = client.jobs.list()
    assert edge.calls == []
    assert [job.job_id for job in await jobs.first(3)] == ["a", "b", "c"]
    assert len(edge.calls) == 2
    assert await jobs.first(0) == []


async def test_pages_come_as_they_are_and_can_be_gone_on_from(client: SomaClient, edge: Edge) -> None:
    edge.answer(LIST, page("b", token="t2"), page("c"))
    pages = [(item.jobs[0].job_id, item.next_page_token) async for item in client.jobs.list(page_token="t1").pages()]
    assert pages == [("b", "t2"), ("c", "")]
    assert [request.page_token for request in edge.asked(LIST)] == ["t1", "t2"]


async def test_each_page_has_the_retries_of_the_method(client: SomaClient, edge: Edge) -> None:
    edge.answer(LIST, page("a", token="t1"), Failure(), page("b"))
    assert [job.job_id async for job in client.jobs.list()] == ["a", "b"]


async def test_a_page_that_leads_to_itself_ends_the_list(client: SomaClient, edge: Edge) -> None:
    edge.answer(LIST, *[page("a", token="t1") for _ in range(9)])
    with pytest.raises(RuntimeError, match="the same page again"):
        [job async for job in client.jobs.list()]
    assert len(edge.calls) == 2
