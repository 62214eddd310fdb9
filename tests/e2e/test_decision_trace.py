"""The Decision Trace and the lineage of a job through the edge, while it runs and after."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from prov.model import ProvDocument, ProvGeneration

from mesh.ids import SystemIds
from tests.e2e.jobs import run_job, submit
from tests.e2e.test_jobs import charts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.e2e.conftest import RunningMesh

PARTS = ("job", "outline", "step", "totals", "trace")


def changes(api: httpx.Client, job_id: str) -> Iterator[dict[str, Any]]:
    """The changes of a trace over SSE, to the whole of it; heartbeats left out."""
    with api.stream("GET", f"/v1/traces/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data:"):
                event = json.loads(line.removeprefix("data:"))
                if any(part in event for part in PARTS):
                    yield event


def built(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The trace that a client puts together from the changes alone."""
    newest = {part: event[part] for event in events for part in PARTS if part in event and part != "step"}
    steps = {event["step"]["step_id"]: event["step"] for event in events if "step" in event}
    ordered = [steps[step_id] for step_id in newest["outline"]["step_ids"]]
    return {**newest["outline"], "job": newest["job"], "totals": newest["totals"], "steps": ordered}


@pytest.fixture(scope="module")
def watched(mesh: RunningMesh) -> tuple[str, list[dict[str, Any]]]:
    """A job that was watched from the moment it was submitted, and what was seen."""
    with mesh.client() as api:
        job_id = submit(api, charts(3, chained=True))
        return job_id, list(changes(api, job_id))


def test_a_running_job_shows_its_trace_grow(watched: tuple[str, list[dict[str, Any]]]) -> None:
    _, events = watched
    assert "trace" in events[-1]
    assert [event for event in events[:-1] if "trace" in event] == []
    states = [event["job"]["state"] for event in events if "job" in event]
    assert len(states) > 1
    assert states[-1] == "JOB_STATE_COMPLETED"


def test_the_changes_together_are_the_whole_and_what_get_answers(
    api: httpx.Client, watched: tuple[str, list[dict[str, Any]]]
) -> None:
    job_id, events = watched
    assert events[-1]["trace"] == built(events[:-1]) == api.get(f"/v1/traces/{job_id}").json()


def test_a_trace_explains_its_attempts(watched: tuple[str, list[dict[str, Any]]]) -> None:
    _, events = watched
    trace = events[-1]["trace"]
    assert trace["complete"]
    assert "completed" in trace["story"]
    assert [step["step_id"] for step in trace["steps"]] == ["c0", "c1", "c2"]
    for step in trace["steps"]:
        [attempt] = step["attempts"]
        assert attempt["selection"]["ranked"][0]["reason"]
        assert {verdict["allowed"] for verdict in attempt["policy_verdicts"]} >= {True}
        assert (attempt["execution"]["trace_id"], len(attempt["span_id"])) == (trace["job"]["trace_id"], 16)
        assert int(attempt["times"]["mesh_ms"]) >= 0
        assert "matplotlib_chart@local" in step["story"]


def test_an_attempts_span_was_exported(mesh: RunningMesh, watched: tuple[str, list[dict[str, Any]]]) -> None:
    _, events = watched
    trace = events[-1]["trace"]
    wanted = {attempt["span_id"] for step in trace["steps"] for attempt in step["attempts"]}
    spans = mesh.spans.wait(trace["job"]["trace_id"], lambda found: wanted <= {span.span_id for span in found})
    assert {span.name for span in spans if span.span_id in wanted} == {"execution_attempt_1"}


def test_watching_after_the_end_gives_all_at_once(api: httpx.Client, watched: tuple[str, list[dict[str, Any]]]) -> None:
    job_id, events = watched
    again = list(changes(api, job_id))
    assert again[-1] == events[-1]
    assert built(again[:-1]) == again[-1]["trace"]


def test_an_unknown_job_and_a_strangers_are_not_found(
    mesh: RunningMesh, api: httpx.Client, stranger: str, watched: tuple[str, list[dict[str, Any]]]
) -> None:
    with mesh.client(stranger) as other:
        answers = [api.get(f"/v1/traces/{SystemIds().new()}/events"), other.get(f"/v1/traces/{watched[0]}/events")]
    assert [(answer.status_code, answer.json()["details"][0]["reason"]) for answer in answers] == [
        (404, "NOT_FOUND")
    ] * 2


def test_no_answer_shows_an_internal(mesh: RunningMesh, watched: tuple[str, list[dict[str, Any]]]) -> None:
    text = json.dumps(watched[1])
    assert "matplotlib_chart@local" in text
    addresses = [mesh.service_address(name) for name in ("executor", "selector", "assets")]
    assert [found for found in (*addresses, str(mesh.home.root), "/root/", mesh.key) if found in text] == []


def test_the_command_line_shows_and_follows_it(mesh: RunningMesh, watched: tuple[str, list[dict[str, Any]]]) -> None:
    shown = mesh.soma("trace", watched[0])
    assert shown.returncode == 0, shown.stderr
    assert "attempt 1 matplotlib_chart@local succeeded" in shown.stdout
    followed = mesh.soma("trace", watched[0], "--follow", "--json")
    assert json.loads(followed.stdout.splitlines()[-1]) == watched[1][-1]


def test_a_lineage_is_exported_as_prov_json(api: httpx.Client) -> None:
    plan: dict[str, Any] = charts(1)
    plan["tasks"][0]["params"]["chart"]["title"] = SystemIds().new()  # bytes that no job made before
    job = run_job(api, plan)
    [asset_id, *_] = job["steps"][0]["asset_ids"]
    trace = list(changes(api, str(job["job_id"])))[-1]["trace"]
    answer = api.get(f"/v1/multimodal/provenance/{asset_id}/prov")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = ProvDocument.deserialize(io.StringIO(answer.text), format="json")
    [made] = [dict(record.formal_attributes) for record in document.get_records(ProvGeneration)]
    execution_id = trace["steps"][0]["attempts"][0]["execution"]["execution_id"]
    assert {f"asset:{asset_id}", f"execution:{execution_id}"} <= {str(value) for value in made.values()}
    assert api.get(f"/v1/multimodal/provenance/{SystemIds().new()}/prov").status_code == 404
