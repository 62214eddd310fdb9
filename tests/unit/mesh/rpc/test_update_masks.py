"""Updates are held to the contract: in the fields that their mask names, for every method that has one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import protovalidate
import pytest
from google.protobuf import descriptor_pool, message_factory

from mesh.errors import SomaError
from mesh.rpc.interceptor import Call, MethodInfo
from mesh.rpc.interceptors.validation import Validation
from mesh.rpc.masks import MASK, resource_of
from soma.registry.v1.capability_service_pb2 import UpdateCapabilityRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

GENERATED = Path(__file__).parents[4] / "gen/python"
HOSTILE = "../\x00 " * 5000
PRICE = {"unit": "PRICE_UNIT_CALL", "micro_usd": 10**15}


def requests() -> Iterator[Descriptor]:
    """The request of every method of every contract."""
    for path in GENERATED.rglob("*_service_pb2.py"):
        name = ".".join(path.relative_to(GENERATED).with_suffix("").parts)
        for service in importlib.import_module(name).DESCRIPTOR.services_by_name.values():
            yield from (method.input_type for method in service.methods)


UPDATES = {request.full_name: request for request in requests() if resource_of(request) is not None}


async def checked(request: Message) -> str:
    """The fields that the interceptor refuses, parted by commas; "" when the request passes."""
    method = MethodInfo("soma.test", "Update", request_streaming=False, response_streaming=False, access=None)
    call = Call(method, request, context=None, metadata={})  # type: ignore[arg-type]

    async def continuation(_: Call) -> object:
        return None

    try:
        await Validation(protovalidate.Validator()).intercept(call, continuation)
    except SomaError as error:
        return ",".join(violation.field for violation in error.fields)
    return ""


def update(*paths: str, **fields: object) -> UpdateCapabilityRequest:
    """An update of these fields of a capability, whether valid or not."""
    request = UpdateCapabilityRequest(capability_id="a@b", capability=fields)  # type: ignore[arg-type]
    request.update_mask.paths.extend(paths)
    return request


def test_there_are_methods_with_a_mask() -> None:
    assert "soma.registry.v1.UpdateCapabilityRequest" in UPDATES


@pytest.mark.parametrize("name", UPDATES)
def test_the_resource_of_an_update_is_not_exempt_from_its_rules(name: str) -> None:
    """IGNORE_ALWAYS on the resource would exempt what the mask names, too."""
    request = UPDATES[name]
    options = request.fields_by_name[resource_of(request) or ""].GetOptions()
    assert "IGNORE_ALWAYS" not in str(options)


@pytest.mark.parametrize("name", UPDATES)
async def test_every_text_of_a_resource_is_refused_in_an_update_where_its_rules_refuse_it(name: str) -> None:
    kind = message_factory.GetMessageClass(UPDATES[name])
    resource = resource_of(UPDATES[name]) or ""
    tried = 0
    for field in UPDATES[name].fields_by_name[resource].message_type.fields:
        if not _is_text(field):
            continue
        request = kind()
        part = getattr(request, resource)
        setattr(part, field.name, HOSTILE) if not field.is_repeated else getattr(part, field.name).append(HOSTILE)
        refused = {violation.proto.field.elements[0].field_name for violation in protovalidate.collect_violations(part)}
        if field.name in refused:
            tried += 1
            request.update_mask.paths.append(field.name)  # type: ignore[attr-defined]
            assert f"{resource}.{field.name}" in await checked(request)
    assert tried


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == field.TYPE_STRING


@pytest.mark.parametrize("path", ["../victim/openai", "a/../b", "a//b", "/a", "a/", ".", "%2e%2e/a", "a\\b", "a\nb"])
async def test_an_update_cannot_move_credentials_out_of_the_tenants_folder(path: str) -> None:
    assert await checked(update("credential_path", credential_path=path)) == "capability.credential_path"
    assert await checked(update("*", credential_path=path)) != ""


async def test_what_the_mask_does_not_name_is_not_judged() -> None:
    assert await checked(update("description", description="new", endpoint="x" * 1000)) == ""


async def test_a_mask_without_paths_judges_everything() -> None:
    assert "capability.endpoint" in await checked(update(description="new", endpoint="x" * 1000))


async def test_what_no_update_can_change_is_not_judged_with_all_fields() -> None:
    offered = {"kind": "CAPABILITY_KIND_TOOL", "modalities": ["MODALITY_TOOL"], "task_types": ["tool"]}
    assert await checked(update("*", **offered)) == ""
    assert await checked(update("*", **offered, endpoint="x" * 1000)) == "capability.endpoint"
    assert "capability.tool_id" in await checked(update("tool_id", **offered))


async def test_rules_inside_of_a_named_field_hold() -> None:
    assert "micro_usd" in await checked(update("price_list", price_list={"prices": [PRICE]}))
    assert "micro_usd" in await checked(update("price_list.prices", price_list={"prices": [PRICE]}))
    assert await checked(update("price_list.version", price_list={"prices": [PRICE]})) == ""


@pytest.mark.parametrize("path", ["nothing", "price_list.nothing", "price_list.prices.unit", "", "capability.model"])
async def test_a_path_that_the_resource_lacks_is_refused(path: str) -> None:
    assert await checked(update(path)) == MASK


async def test_the_resource_must_be_there() -> None:
    assert await checked(UpdateCapabilityRequest(capability_id="a@b", update_mask={"paths": ["model"]})) == "capability"


def test_a_request_whose_mask_cannot_be_applied_is_a_mistake_of_its_contract() -> None:
    field_mask_alone = descriptor_pool.Default().FindMessageTypeByName("google.protobuf.FieldMask")
    assert resource_of(field_mask_alone) is None
