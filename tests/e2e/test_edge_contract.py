"""What clients in any language rely on: reflection, health, a true OpenAPI document, errors of one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
import requests
import schemathesis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import HealthCheck, Phase, given, settings

from mesh.clock import SystemClock
from mesh.contexts import installed
from soma_local.pki import OPERATOR, Pki
from svc_gateway.adapters.descriptors import Descriptors

if TYPE_CHECKING:
    import httpx

    from tests.e2e.conftest import RunningMesh

CASES = 200
CONTEXTS = tuple(context.name for context in installed())


def edge_channel(mesh: RunningMesh) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(mesh.authority.read_bytes())
    return grpc.secure_channel(f"localhost:{mesh.port}", credentials)


def service_channel(mesh: RunningMesh, context: str) -> grpc.Channel:
    pair = Pki(mesh.home.pki, SystemClock()).pair(OPERATOR)
    credentials = grpc.ssl_channel_credentials(
        mesh.authority.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
    )
    return grpc.secure_channel(mesh.service_address(context), credentials)


def test_reflection_lists_every_service_through_the_edge(mesh: RunningMesh) -> None:
    with edge_channel(mesh) as channel:
        listed = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert set(Descriptors.read().route_table().services) <= listed


@pytest.mark.parametrize("context", CONTEXTS)
def test_each_service_answers_reflection_and_health_directly(mesh: RunningMesh, context: str) -> None:
    with service_channel(mesh, context) as channel:
        listed = ProtoReflectionDescriptorDatabase(channel).get_services()
        health = health_pb2_grpc.HealthStub(channel)
        for name in ["", *(service for service in listed if service.startswith("soma."))]:
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
    assert any(name.startswith(f"soma.{context}.") for name in listed)


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_refuses_a_caller_without_a_certificate(mesh: RunningMesh, context: str) -> None:
    credentials = grpc.ssl_channel_credentials(mesh.authority.read_bytes())
    address = mesh.service_address(context)
    with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("request_line", "body", "status", "reason"),
    [
        ("GET /v1/nothing", None, 404, "ROUTE_NOT_FOUND"),
        ("DELETE /v1/budgets", None, 405, "METHOD_NOT_ALLOWED"),
        ("POST /v1/multimodal/jobs", "{", 400, "INVALID_ARGUMENT"),
        ("POST /v1/multimodal/jobs", "{}", 400, "INVALID_ARGUMENT"),
        ("POST /v1/multimodal/jobs", '{"plan": {"version": "1.0"}}', 400, "INVALID_PLAN"),
        ("GET /v1/multimodal/jobs?nothing=1", None, 400, "INVALID_ARGUMENT"),
        ("GET /v1/multimodal/jobs/no-uuid", None, 400, "INVALID_ARGUMENT"),
        ("GET /v1/multimodal/jobs/01900000-0000-7000-8000-000000000000", None, 404, "NOT_FOUND"),
        ("GET /v1/multimodal/jobs?page_size=501", None, 400, "INVALID_ARGUMENT"),
    ],
)
def test_every_refusal_has_the_same_shape(
    api: httpx.Client, request_line: str, body: str | None, status: int, reason: str
) -> None:
    method, path = request_line.split()
    answer = api.request(method, path, content=body, headers={"content-type": "application/json"} if body else {})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()
    info = next(item for item in error["details"] if item["@type"].endswith("ErrorInfo"))
    assert (info["reason"], info["domain"]) == (reason, "soma")
    assert info["metadata"]["trace_id"]
    assert error["message"]


@pytest.mark.parametrize("path", ["/v1/health", "/v1/multimodal/jobs", "/v1/multimodal/jobs/no-uuid", "/openapi.json"])
def test_head_answers_as_get_does_without_the_body(api: httpx.Client, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert {name: head.headers[name] for name in ("content-type", "content-length")} == {
        "content-type": get.headers["content-type"], "content-length": str(len(get.content))
    }  # fmt: skip


def test_streams_have_no_head(api: httpx.Client) -> None:
    answer = api.head("/v1/health/events")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "GET", b"")


def test_a_body_over_the_limit_is_refused(api: httpx.Client) -> None:
    answer = api.post(
        "/v1/multimodal/jobs", content=b" " * (5 * 1024 * 1024), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_without_identity_nothing_is_served(mesh: RunningMesh) -> None:
    with mesh.client("") as nobody:
        answer = nobody.get("/v1/multimodal/jobs")
    assert (answer.status_code, answer.json()["code"]) == (401, 16)


def test_the_openapi_document_is_true(mesh: RunningMesh) -> None:
    """No 5xx and no undocumented status; the long form asks 2,000 cases."""
    assert ask_everything(mesh, CASES, operations=60) == []


def ask_everything(mesh: RunningMesh, cases: int, *, operations: int) -> list[str]:
    """Sends generated requests to every operation, and tells each answer that the document does not allow.

    The document must have so many `operations` at least.
    """
    schema = schemathesis.openapi.from_url(f"{mesh.url}/openapi.json", verify=str(mesh.authority))
    described = [found.ok() for found in schema.get_all_operations()]
    assert len(described) >= operations
    found: list[str] = []
    for operation in described:
        found += ask(operation, mesh, max(1, cases // len(described)))
    return found


def ask(operation: schemathesis.APIOperation, mesh: RunningMesh, cases: int) -> list[str]:
    """Sends generated requests to one operation. Streams answer with their first bytes alone."""
    found: list[str] = []
    documented = {str(status) for status in operation.definition.raw["responses"]}

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        request = case.as_transport_kwargs(base_url=mesh.url, headers={"authorization": f"Bearer {mesh.key}"})
        with requests.Session() as session:
            answer = session.request(**request, verify=str(mesh.authority), timeout=30, stream=True)
            answer.close()
        if answer.status_code >= 500 or str(answer.status_code) not in documented:
            found.append(f"{case.method} {case.formatted_path}: {answer.status_code}")

    send()
    return found
