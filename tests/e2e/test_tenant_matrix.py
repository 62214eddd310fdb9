"""Invariant 5: nothing of one tenant can be reached as another, asked of every method and every id in the contracts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

from mesh.identity import Claims
from svc_gateway.adapters.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.message import Message

    from tests.e2e.conftest import RunningMesh

IDS = ("_id", "_ids")
NOT_SECRET = {"request_id", "session_id", "step_id", "tool_id"}
"""Free labels a caller may choose; they name nothing that is stored for somebody."""
HIDDEN = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT}


def methods() -> list[MethodDescriptor]:
    """Every method of the contracts that needs an identity."""
    Descriptors.read().load_generated()
    pool = descriptor_pool.Default()
    found = []
    for name in Descriptors.read().route_table().services:
        found += [method for method in pool.FindServiceByName(name).methods if not access(method).public]
    return found


def access(method: MethodDescriptor) -> Message:
    return next(value for field, value in method.GetOptions().ListFields() if field.name == "access")


def id_fields(message: Descriptor, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Paths of the fields that hold ids, nested messages included."""
    for field in message.fields:
        here = (*path, field.name)
        if field.type == FieldDescriptor.TYPE_STRING and (field.name == "id" or field.name.endswith(IDS)):
            if field.name not in NOT_SECRET:
                yield here
        elif (
            field.type == FieldDescriptor.TYPE_MESSAGE
            and depth < 2
            and field.message_type.file.package.startswith("soma")
        ):
            yield from id_fields(field.message_type, here, depth + 1)


def put(message: Message, path: tuple[str, ...], value: str) -> None:
    for name in path[:-1]:
        message = getattr(message, name)
    field = message.DESCRIPTOR.fields_by_name[path[-1]]
    if field.is_repeated:
        getattr(message, path[-1]).append(value)
    else:
        setattr(message, path[-1], value)


@dataclass
class OwnedIds:
    """Ids of what the development tenant has, by the name of the field that names them."""

    ids: Mapping[str, str]

    def value(self, path: tuple[str, ...]) -> str:
        return self.ids.get(path[-1].removesuffix("s") if path[-1].endswith("_ids") else path[-1], self.ids["job_id"])

    def shown_in(self, text: str) -> list[str]:
        return [name for name, value in self.ids.items() if value in text]


@pytest.fixture(scope="module")
def owned_ids(mesh: RunningMesh) -> OwnedIds:
    """One of everything."""
    with mesh.client() as api:
        for budget in ({}, {"modality": "MODALITY_TOOL"}):
            api.put("/v1/budgets", json={**budget, "limit_micro_usd": "10000000"})
        asset = api.post(
            "/v1/uploads?filename=canary.txt", content=b"canary of dev", headers={"content-type": "text/plain"}
        )
        key = api.post("/v1/api-keys", json={"display_name": "canary"})
        tool = {
            "tool_id": "canary",
            "provider": "dev",
            "kind": "CAPABILITY_KIND_TOOL",
            "modalities": ["MODALITY_TOOL"],
            "task_types": ["tool"],
            "allow": {"tenants": ["dev"]},
            "price_list": {"prices": [{"unit": "PRICE_UNIT_CALL", "micro_usd": 5}]},
        }
        capability = api.post("/v1/multimodal/capabilities", json=tool)
        plan = {
            "version": "1.0",
            "tasks": [{"task_id": "canary", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}],
        }
        job = api.post("/v1/multimodal/jobs", json={"plan": plan})
        need = {"requirements": {"modality": "MODALITY_TOOL", "task_type": "tool"}, "request_id": "canary"}
        selection = api.post("/v1/selections", json=need)
        rubric = api.post("/v1/multimodal/rubrics", json={"criteria": [{"dimension": "clarity", "weight": 1}]})
        verdict = api.post("/v1/multimodal/evaluations", json={"asset_id": asset.json()["asset_id"]})
        for made in (asset, key, capability, job, selection, rubric, verdict):
            assert made.status_code == 200, made.text
    asset_id = asset.json()["asset_id"]
    return OwnedIds(
        {
            "asset_id": asset_id,
            "parent_id": asset_id,
            "replaces_id": asset_id,
            "key_id": key.json()["key_id"],
            "capability_id": capability.json()["capability_id"],
            "job_id": job.json()["job_id"],
            "id": job.json()["job_id"],
            "selection_id": selection.json()["selection_id"],
            "reservation_id": selection.json()["budget"]["reservation_id"],
            "rubric_id": rubric.json()["rubric_id"],
            "evaluation_id": verdict.json()["evaluation_id"],
            "tenant_id": "dev",
        }
    )


def leaks_in(code: str, text: str, owned_ids: OwnedIds, path: tuple[str, ...]) -> bool:
    """Whether an answer shows more of the owner than the id that was asked with, or fails for a reason of ours."""
    return code == "INTERNAL" or (
        code == "OK" and bool(owned_ids.shown_in(text.replace(json.dumps(owned_ids.value(path)), "")))
    )


def test_the_matrix_catches_a_service_that_forgets_the_tenant(owned_ids: OwnedIds) -> None:
    """A planted bug: an answer that lists the owner's things."""
    leaky = f'assets {{ asset_id: "{owned_ids.ids["asset_id"]}" origin {{ job_id: "x" }} }}'
    assert leaks_in("OK", leaky, owned_ids, ("job_id",))
    assert leaks_in("OK", f'key_id: "{owned_ids.ids["key_id"]}"', owned_ids, ("asset_id",))
    assert not leaks_in("OK", "", owned_ids, ("job_id",))
    assert not leaks_in("NOT_FOUND", leaky, owned_ids, ("job_id",))


CHART = {"chart": {"kind": "bar", "title": "canary", "series": [{"name": "s", "x": ["a", "b"], "y": [1, 2]}]}}


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, request: Message, token: str) -> tuple[str, str]:
    """The status of a call and what it answered, as text; of a stream, its first message."""
    reply = message_factory.GetMessageClass(method.output_type)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    path = f"/{method.containing_service.full_name}/{method.name}"
    kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary"}
    multi = getattr(channel, kinds[(method.client_streaming, method.server_streaming)])(
        path, request_serializer=lambda message: message.SerializeToString(), response_deserializer=reply.FromString
    )
    argument = iter([request]) if method.client_streaming else request
    made = multi(argument, metadata=metadata, timeout=20)
    try:
        if method.server_streaming:
            first = await anext(aiter(made), None)
            made.cancel()
            return "OK", str(first)
        return "OK", str(await made)
    except grpc.aio.AioRpcError as error:
        return error.code().name, f"{error.details()} {error.trailing_metadata()}"


@pytest.fixture
async def channel(mesh: RunningMesh) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(mesh.authority.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{mesh.port}", credentials) as opened:
        yield opened


async def test_another_tenant_finds_nothing(channel: grpc.aio.Channel, owned_ids: OwnedIds, stranger: str) -> None:
    leaks: list[str] = []
    asked = 0
    for method in methods():
        request_class = message_factory.GetMessageClass(method.input_type)
        for path in id_fields(method.input_type):
            request = request_class()
            put(request, path, owned_ids.value(path))
            code, text = await call(channel, method, request, stranger)
            asked += 1
            if leaks_in(code, text, owned_ids, path):
                leaks.append(f"{method.full_name} {'.'.join(path)}: {code} {text[:200]}")
    assert not leaks
    assert asked >= 25


async def test_an_id_that_must_exist_is_not_found_for_another_tenant(
    channel: grpc.aio.Channel, owned_ids: OwnedIds, stranger: str
) -> None:
    """Methods whose only required field is an id answer exactly NOT_FOUND."""
    asked = 0
    for method in methods():
        required = [field for field in method.input_type.fields if is_required(field)]
        if [field.name for field in required] not in [[name] for name in owned_ids.ids] or method.client_streaming:
            continue
        request = message_factory.GetMessageClass(method.input_type)()
        put(request, (required[0].name,), owned_ids.value((required[0].name,)))
        code, text = await call(channel, method, request, stranger)
        asked += 1
        granted = access(method).action not in {"budget.settle", "capability.report_health"}
        assert code == ("NOT_FOUND" if granted else "PERMISSION_DENIED"), f"{method.full_name}: {code} {text[:200]}"
    assert asked >= 15


def is_required(field: FieldDescriptor) -> bool:
    return any(
        option.full_name == "google.api.field_behavior" and 2 in list(value)
        for option, value in field.GetOptions().ListFields()
    )


async def test_nobody_and_the_expired_are_unauthenticated(mesh: RunningMesh, channel: grpc.aio.Channel) -> None:
    expired = await mesh.token(Claims("dev", "late", roles=("admin",)), ttl_s=-60)
    asked = methods()
    assert len(asked) >= 60
    for method in asked:
        request = message_factory.GetMessageClass(method.input_type)()
        for token in ("", expired, "nonsense"):
            code, text = await call(channel, method, request, token)
            assert code == "UNAUTHENTICATED", f"{method.full_name} with {token[:8]!r}: {code} {text[:200]}"


async def test_the_owner_finds_what_the_stranger_does_not(mesh: RunningMesh, owned_ids: OwnedIds) -> None:
    """The matrix would prove nothing if the ids were wrong."""
    paths = {
        "asset_id": "/v1/multimodal/assets/{}/metadata",
        "key_id": "/v1/api-keys/{}",
        "capability_id": "/v1/multimodal/capabilities/{}",
        "job_id": "/v1/multimodal/jobs/{}",
        "selection_id": "/v1/selections/{}",
        "rubric_id": "/v1/multimodal/rubrics/{}",
        "evaluation_id": "/v1/multimodal/evaluations/{}",
    }
    with mesh.client() as api:
        for name, path in paths.items():
            assert api.get(path.format(owned_ids.ids[name])).status_code == 200, name
