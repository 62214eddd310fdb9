"""One trace from a client's call to the providers and back, through events and the durable workflow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    import httpx

    from tests.e2e.collector import Span
    from tests.e2e.conftest import RunningMesh

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello_job.json"
STEP = ("capability_discovery", "policy_routing", "portfolio_ranking", "execution_attempt_1", "provenance_record")
CHOSEN = re.compile(r"^[\w.:@/ -]{0,120}$")


@pytest.fixture(scope="module")
def job(mesh: RunningMesh) -> dict[str, Any]:
    """A job that ran; its picture is like no other's, whose provenance it would have otherwise."""
    plan = json.loads(HELLO.read_text())
    plan["tasks"][0]["params"]["diagram"]["title"] = f"Traced {SystemIds().new()}"
    with mesh.client() as api:
        return run_job(api, plan)


@pytest.fixture(scope="module")
def trace(mesh: RunningMesh, job: dict[str, Any]) -> list[Span]:
    """The spans of the job's trace, all of them."""
    return mesh.spans.wait(str(job["trace_id"]), lambda spans: not orphans(spans) and "multimodal_job" in names(spans))


def test_a_job_is_one_tree_with_one_root_at_the_edge(trace: list[Span]) -> None:
    roots = [span for span in trace if not span.parent_id]
    assert [(root.service, orphans(trace)) for root in roots] == [("edge", [])]


def test_every_part_of_the_job_has_the_span_that_the_page_names(trace: list[Span]) -> None:
    step = next(span for span in trace if span.name.startswith("step_"))
    assert step.name == "step_01_generate_diagram"
    assert next(span.name for span in above(step, trace)) == "multimodal_job"
    assert {"multimodal_job", "plan_compilation", "quality_evaluation"} <= names(trace)
    for name in STEP:
        assert any(step in above(span, trace) for span in trace if span.name == name), name


def test_the_spans_of_the_run_last_as_long_as_what_is_below_them(trace: list[Span]) -> None:
    run = next(span for span in trace if span.name == "multimodal_job")
    inside = [span for span in trace if span.name.startswith(("step_", "execution_", "plan_", "capability_sel"))]
    assert names(inside) >= {"step_01_generate_diagram", "execution_attempt_1", "plan_compilation"}
    assert [span.name for span in inside if span.start < run.start or span.end > run.end] == []


def test_spans_come_from_the_edge_the_services_and_the_consumers(trace: list[Span]) -> None:
    assert "edge" in {span.service for span in trace}
    assert {"soma.executor.v1.JobService/SubmitJob", "process executor.events"} <= names(trace)
    served = {span.attributes.get("rpc.service") for span in trace}
    assert {"soma.selector.v1.SelectorService", "soma.assets.v1.AssetService"} <= served


def test_calls_of_the_job_have_a_span_on_both_sides(trace: list[Span]) -> None:
    calls = [span for span in trace if span.attributes.get("rpc.system") == "grpc" and span.service != "edge"]
    asked = [span for span in calls if span.name == "soma.selector.v1.SelectorService/Select"]
    assert len({span.span_id for span in asked}) >= 2
    assert any(above(span, trace)[0] in asked for span in asked if above(span, trace))
    assert {span.attributes.get("rpc.grpc.status_code") for span in calls} == {0}


def test_statements_of_the_job_are_below_the_work_that_sent_them(trace: list[Span]) -> None:
    inserts = [span for span in trace if span.name == "INSERT"]
    assert {span.attributes["db.system"] for span in inserts} == {"postgresql"}
    senders = {above(span, trace)[0].name for span in inserts}
    assert {"soma.executor.v1.JobService/SubmitJob", "soma.assets.v1.AssetService/UploadAsset"} <= senders


def test_statements_are_shown_without_their_values(mesh: RunningMesh, trace: list[Span]) -> None:
    texts = [str(span.attributes["db.statement"]) for span in trace if span.name == "INSERT"]
    assert any("$1" in text for text in texts)
    assert not any(b"Traced " in batch for batch in mesh.spans.raw)


def test_provider_spans_follow_the_conventions_for_generative_ai(trace: list[Span]) -> None:
    made = [span.attributes for span in trace if "gen_ai.operation.name" in span.attributes]
    assert made
    for attributes in made:
        assert attributes["gen_ai.provider.name"]
        assert "gen_ai.request.model" in attributes or "gen_ai.tool.name" in attributes


def test_spans_hold_names_and_numbers_but_no_content(mesh: RunningMesh, trace: list[Span]) -> None:
    values = {
        f"{span.name} {key}": value
        for span in trace
        for key, value in span.attributes.items()
        if isinstance(value, str) and key != "db.statement"
    }
    assert values["step_01_generate_diagram soma.capability_id"] == "mermaid@local"
    assert {key: value for key, value in values.items() if not CHOSEN.match(value)} == {}
    assert [span.name for span in trace if span.events] == []
    assert any(b"multimodal_job" in batch for batch in mesh.spans.raw)
    assert not any(b"with its story" in batch for batch in mesh.spans.raw)


def test_answers_errors_and_provenance_name_the_trace(
    mesh: RunningMesh, api: httpx.Client, job: dict[str, Any]
) -> None:
    answer = api.get("/v1/multimodal/jobs/00000000-0000-7000-8000-000000000000")
    told = answer.json()["details"][0]["metadata"]["trace_id"]
    assert answer.headers["x-trace-id"] == told
    assert mesh.spans.wait(told, lambda spans: any(span.service == "edge" for span in spans))
    asset_id = next(asset for step in job["steps"] for asset in step["asset_ids"])
    provenance = api.get(f"/v1/multimodal/provenance/{asset_id}").json()
    assert provenance["asset"]["trace_id"] == job["trace_id"]


def test_a_client_that_brings_a_trace_finds_its_own_in_the_answer(mesh: RunningMesh, api: httpx.Client) -> None:
    own = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = api.get("/v1/multimodal/jobs", headers={"traceparent": f"00-{own}-00f067aa0ba902b7-01"})
    assert answer.headers["x-trace-id"] == own
    spans = mesh.spans.wait(own, lambda spans: any(span.service == "edge" for span in spans))
    edge = next(span for span in spans if span.service == "edge")
    assert edge.parent_id == "00f067aa0ba902b7"


def names(spans: Iterable[Span]) -> set[str]:
    return {span.name for span in spans}


def orphans(spans: Iterable[Span]) -> list[str]:
    """Names of spans whose parent is missing."""
    known = {span.span_id for span in spans}
    return [span.name for span in spans if span.parent_id and span.parent_id not in known]


def above(span: Span, spans: Iterable[Span]) -> list[Span]:
    """The parents of a span, the nearest first."""
    by_id = {each.span_id: each for each in spans}
    found = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        found.append(span)
    return found
