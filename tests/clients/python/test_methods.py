"""The client offers every method that the edge serves to clients, as the contracts describe it."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pb2

from soma_client import Pages, SomaClient
from soma_client.contract import Contract
from tests.clients.python.edge import KEY
from tools.openapi_document.contracts import Contracts
from tools.python_methods import attribute_name, is_rendered, python_name, render, render_client

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "clients" / "python" / "soma_client"
DESCRIPTORS = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen" / "descriptors" / "soma.binpb").read_bytes())
CONTRACTS = Contracts(DESCRIPTORS)
SERVED = [
    method
    for service in CONTRACTS.services()
    for method in service.methods
    if CONTRACTS.option(method, "google.api.http") is not None
]
BY_HAND = {"UploadAsset", "DownloadAsset", "ExportAudit"}
CLIENT = SomaClient("localhost:8010", api_key=KEY)
RESOURCES = {
    kind.__name__: resource
    for resource in vars(CLIENT).values()
    for kind in type(resource).__mro__
    if kind.__name__.endswith("Methods")
}


def function(method: MethodDescriptor) -> Any:  # noqa: ANN401
    """The client's function of a method."""
    return getattr(RESOURCES[f"{method.containing_service.name}Methods"], python_name(method))


@pytest.mark.parametrize("method", SERVED, ids=lambda method: method.full_name)
def test_every_method_that_the_edge_serves_can_be_called(method: MethodDescriptor) -> None:
    assert callable(function(method))
    Contract.load().rule(f"/{method.containing_service.full_name}/{method.name}")


def test_every_service_is_an_attribute_by_its_name() -> None:
    found = {service.name: attribute_name(service) for service in CONTRACTS.services() if render(CONTRACTS, service)}
    assert set(found.values()) == set(vars(CLIENT)) - {"_address", "_caller"}
    by_rule = {"ApiKeyService": "api_keys", "CapabilityService": "capabilities", "JobService": "jobs"}
    assert by_rule.items() <= found.items()


def test_two_services_of_one_name_are_refused_by_the_generator() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.SerializeToString())
    copy = files.file.add(name="other.proto", package="soma.other.v1", syntax="proto3")
    copy.service.add(name="JobService")
    services = list(Contracts(files).services())
    with pytest.raises(ValueError, match=r"JobService and soma\.other\.v1\.JobService have one name"):
        render_client(services)


def test_only_streams_of_bytes_are_written_by_hand() -> None:
    assert {method.name for method in SERVED if not is_rendered(CONTRACTS, method)} == BY_HAND


def test_no_method_is_named_twice() -> None:
    names = [(method.containing_service.name, python_name(method)) for method in SERVED]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("method", SERVED, ids=lambda method: method.full_name)
def test_every_field_of_a_request_is_a_parameter(method: MethodDescriptor) -> None:
    given = set(inspect.signature(function(method)).parameters) - {"timeout"}
    renamed = {
        "UploadAsset": {"content": "source", "size_bytes": None, "origin": None},
        "DownloadAsset": {"read_offset": None, "read_limit": None},
    }.get(method.name, {})
    added = {"DownloadAsset": {"target"}, "UploadAsset": {"media_type"}}.get(method.name, set())
    wanted = {renamed.get(field.name, field.name) for field in method.input_type.fields} - {None}
    assert given == wanted | added


@pytest.mark.parametrize(
    "method",
    [method for method in SERVED if "page_token" in method.input_type.fields_by_name],
    ids=lambda method: method.full_name,
)
def test_every_list_comes_in_pages(method: MethodDescriptor) -> None:
    assert isinstance(function(method)(), Pages)


@pytest.mark.parametrize(
    "method",
    [method for method in SERVED if "request_id" in method.input_type.fields_by_name],
    ids=lambda method: method.full_name,
)
def test_every_request_with_an_id_gets_one(method: MethodDescriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def unary(path: str, request: object, *_: object, **__: object) -> None:
        sent.append(request)

    async def send(path: str, requests: Any, *_: object, **__: object) -> None:  # noqa: ANN401
        sent.append(await anext(requests()))

    called = function(method)
    caller = called.__self__._caller
    monkeypatch.setattr(caller, "unary", unary)
    monkeypatch.setattr(caller, "send", send)
    asyncio.run(_call(called))
    assert re.fullmatch(r"[0-9a-f-]{36}", sent[0].request_id)


async def _call(called: Any) -> None:  # noqa: ANN401
    """Calls a method with empty values for what it requires."""
    empty = {"plan": {}, "update_mask": (), "source": b""}
    parameters = inspect.signature(called).parameters.values()
    required = [item.name for item in parameters if item.default is inspect.Parameter.empty]
    await called(**{name: empty.get(name) for name in required})


def test_a_map_in_a_request_is_refused_by_the_generator() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.SerializeToString())
    request = next(message for file in files.file for message in file.message_type if message.name == "ListJobsRequest")
    entry = request.nested_type.add(name="LabelsEntry", options={"map_entry": True})
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=9, label=1)
    kind = ".soma.executor.v1.ListJobsRequest.LabelsEntry"
    request.field.add(name="labels", number=90, type=11, label=3, type_name=kind)
    contracts = Contracts(files)
    jobs = next(service for service in contracts.services() if service.name == "JobService")
    with pytest.raises(ValueError, match=r"labels is a map"):
        render(contracts, jobs)
