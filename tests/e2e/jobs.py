"""Runs jobs over REST and SSE, as any client would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx


def submit(api: httpx.Client, plan: Mapping[str, object], request_id: str = "") -> str:
    """Submits a plan; gives the id of its job."""
    answer = api.post("/v1/multimodal/jobs", json={"plan": plan, "request_id": request_id})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def events(api: httpx.Client, job_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """The timeline of a job over SSE, to its end; heartbeats left out."""
    with api.stream("GET", f"/v1/multimodal/jobs/{job_id}/events", params={"after": after}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if not line.startswith("data:"):
                continue
            event = json.loads(line.removeprefix("data:"))
            if event["type"] != "JOB_EVENT_TYPE_HEARTBEAT":
                yield event
            if event["terminal"]:
                return


def follow_to(api: httpx.Client, job_id: str, kind: str) -> dict[str, Any]:
    """The first event of a kind, such as JOB_EVENT_TYPE_ASSET; fails when the timeline ends without one."""
    seen = []
    for event in events(api, job_id):
        if event["type"] == kind:
            return event
        seen.append(event["type"])
    raise AssertionError(f"the timeline ended without {kind}: {seen}")


def follow_to_end(api: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """The timeline of a job, which ends with the job."""
    whole = list(events(api, job_id))
    assert whole, "the timeline is empty"
    assert [event["terminal"] for event in whole] == [False] * (len(whole) - 1) + [True]
    return whole


def run_job(api: httpx.Client, plan: Mapping[str, object]) -> dict[str, Any]:
    """Submits a plan, waits for its end on the timeline, and reads the job."""
    job_id = submit(api, plan)
    follow_to_end(api, job_id)
    answer: dict[str, Any] = api.get(f"/v1/multimodal/jobs/{job_id}").json()
    return answer
