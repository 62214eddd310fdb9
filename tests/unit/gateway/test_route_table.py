"""The routing table that the committed descriptors give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2

from mesh.contexts import installed
from svc_gateway.adapters.descriptors import DESCRIPTORS, Descriptors

if TYPE_CHECKING:
    from svc_gateway.domain.routes import Method, RouteTable


@pytest.fixture(scope="module")
def table() -> RouteTable:
    return Descriptors.read().route_table()


def named(table: RouteTable, name: str) -> Method:
    return next(method for method in table.methods if method.name == name)


def test_every_method_of_every_service_is_there(table: RouteTable) -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    declared = {
        f"/{file.package}.{service.name}/{method.name}"
        for file in files.file
        for service in file.service
        for method in service.method
    }
    assert "/soma.executor.v1.JobService/SubmitJob" in declared
    assert {method.path for method in table.methods} == declared


def test_methods_lead_to_their_own_context(table: RouteTable) -> None:
    assert len(table.contexts) >= 7
    assert table.contexts == tuple(context.name for context in installed())
    assert {method.context for method in table.methods} == set(table.contexts)
    assert all(method.service.split(".")[1] == method.context for method in table.methods)


def test_every_method_says_who_may_call_it(table: RouteTable) -> None:
    assert named(table, "SubmitJob").action == "job.create"
    assert [method.path for method in table.methods if not (method.action or method.public)] == []


def test_public_methods_are_these(table: RouteTable) -> None:
    assert {method.name for method in table.methods if method.public} == {"GetStatus", "GetOpenApi", "GetKeys"}


def test_streams_and_raw_bodies_are_told_apart(table: RouteTable) -> None:
    upload, watch, submit = (named(table, name) for name in ("UploadAsset", "WatchJob", "SubmitJob"))
    assert (upload.client_streaming, upload.raw_request) == (True, True)
    assert (watch.server_streaming, watch.raw_request) == (True, False)
    assert not submit.streaming


def forms(table: RouteTable, verb: str) -> set[tuple[str, str]]:
    return {(each.path, form.template.text) for each in table.methods for form in each.bindings if form.verb == verb}


def test_head_is_served_beside_get_of_all_but_streams(table: RouteTable) -> None:
    transcoded = Descriptors(descriptor_pb2.FileDescriptorSet.FromString(Descriptors.read().transcoding_set()))
    streams = {method.path for method in table.methods if method.streaming}
    heads, gets = forms(transcoded.route_table(), "HEAD"), forms(table, "GET")
    assert heads == {(method, path) for method, path in gets if method not in streams}
    assert 0 < len(heads) < len(gets)
    routed = [resource.methods["HEAD"] for resource in table.resources if "HEAD" in resource.methods]
    assert heads == {(method.path, form.template.text) for method, form in routed}


def test_transcoding_set_knows_the_details_of_errors() -> None:
    lean = descriptor_pb2.FileDescriptorSet.FromString(Descriptors.read().transcoding_set())
    assert {"google/rpc/status.proto", "google/rpc/error_details.proto"} <= {file.name for file in lean.file}
    assert not any(file.HasField("source_code_info") for file in lean.file)
