"""Reads the routing table from the committed descriptor set."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2

from mesh.contexts import GROUP, InvalidContextError, installed, owners
from svc_gateway.domain.routes import Binding, Method, RouteTable
from svc_gateway.domain.templates import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message

DESCRIPTORS = Path(__file__).parent.parent.parent / "gen" / "descriptors" / "soma.binpb"
_HTTP_BODY = ".google.api.HttpBody"
_PACKAGE_PREFIX = "soma."
_HTTP = "google.api.http"
_ACCESS = "soma.common.v1.access"
_ACCESS_TYPE = "soma.common.v1.Access"


class Descriptors:
    """A descriptor set, with the options of its methods readable by name.

    `served_by` names the context of each protobuf package that has services; None: as the contexts declare it.
    """

    def __init__(self, files: descriptor_pb2.FileDescriptorSet, served_by: Mapping[str, str] | None = None) -> None:
        self._files = files
        self._served_by = owners(installed()) if served_by is None else served_by
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)

    @classmethod
    def read(cls, path: Path = DESCRIPTORS) -> Descriptors:
        """Reads a file made by `buf build`; OSError or DecodeError when it is not one."""
        return cls(descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()))

    def transcoding_set(self) -> bytes:
        """Returns the set for the transcoder: without source info, with HEAD beside GET and with the error details."""
        stripped = descriptor_pb2.FileDescriptorSet()
        stripped.CopyFrom(self._files)
        with_head = {method.path for method in self._methods() if method.has_head}
        for file in stripped.file:
            file.ClearField("source_code_info")
            for service in file.service:
                for method in service.method:
                    if f"/{file.package}.{service.name}/{method.name}" in with_head:
                        _add_head_bindings(method.options.Extensions[annotations_pb2.http])
        included = {file.name for file in stripped.file}
        for module in (status_pb2, error_details_pb2):
            if module.DESCRIPTOR.name not in included:
                module.DESCRIPTOR.CopyToProto(stripped.file.add())
        return stripped.SerializeToString(deterministic=True)

    def load_generated(self) -> None:
        """Imports the generated code of every service, so that this process can serve reflection for all of them."""
        for file in self._files.file:
            if file.package.startswith(_PACKAGE_PREFIX):
                importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")

    def route_table(self) -> RouteTable:
        """Returns every method of the mesh's own packages; InvalidContextError for a package that no context serves."""
        return RouteTable(tuple(self._methods()))

    def _methods(self) -> Iterator[Method]:
        for file in self._files.file:
            if not file.package.startswith(_PACKAGE_PREFIX):
                continue
            for service in file.service:
                for method in service.method:
                    yield self._method(file.package, service.name, method)

    def _method(self, package: str, service: str, method: descriptor_pb2.MethodDescriptorProto) -> Method:
        options = self._options(method.options)
        rule = http_pb2.HttpRule.FromString(options.get(_HTTP, b""))
        access = self._message(_ACCESS_TYPE, options.get(_ACCESS, b""))
        return Method(
            service=f"{package}.{service}",
            name=method.name,
            context=self._context(package),
            action=str(getattr(access, "action", "")),
            public=bool(getattr(access, "public", False)),
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            raw_request=self._has_raw_body(method, rule.body),
            bindings=tuple(_bindings(rule)),
        )

    def _context(self, package: str) -> str:
        context = self._served_by.get(package)
        if context is None:
            raise InvalidContextError(
                f"no context serves {package}: name it in `protos` of a context, whose entry point is in {GROUP}"
            )
        return context

    def _options(self, options: descriptor_pb2.MethodOptions) -> dict[str, bytes]:
        """Returns the options by full name as serialized messages, also of extensions that are not imported here."""
        read = self._message(options.DESCRIPTOR.full_name, options.SerializeToString())
        return {field.full_name: value.SerializeToString() for field, value in read.ListFields() if field.message_type}

    def _message(self, full_name: str, serialized: bytes) -> Message:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(full_name)).FromString(serialized)

    def _has_raw_body(self, method: descriptor_pb2.MethodDescriptorProto, body: str) -> bool:
        if method.input_type == _HTTP_BODY:
            return True
        fields = self._pool.FindMessageTypeByName(method.input_type.removeprefix(".")).fields_by_name
        field = fields.get(body)
        return field is not None and field.message_type is not None and f".{field.message_type.full_name}" == _HTTP_BODY


def _add_head_bindings(rule: http_pb2.HttpRule) -> None:
    for mapping in [rule, *rule.additional_bindings]:
        if mapping.get:
            head = http_pb2.CustomHttpPattern(kind="HEAD", path=mapping.get)
            rule.additional_bindings.add(custom=head, response_body=mapping.response_body)


def _bindings(rule: http_pb2.HttpRule) -> Iterator[Binding]:
    verb = rule.WhichOneof("pattern")
    if verb is None:
        return
    if verb == "custom":
        yield Binding(rule.custom.kind, Template.parse(rule.custom.path), rule.body)
    else:
        yield Binding(verb.upper(), Template.parse(getattr(rule, verb)), rule.body)
    for other in rule.additional_bindings:
        yield from _bindings(other)
