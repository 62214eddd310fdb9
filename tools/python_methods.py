"""Renders a service as a Python class with one typed method for each RPC, for `clients/python`.

Only methods that the edge serves to clients (`google.api.http`) are rendered. What streams bytes or sends a stream is
written by hand in the package.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor import Descriptor as MessageDescriptor
    from google.protobuf.descriptor import EnumDescriptor, MethodDescriptor, ServiceDescriptor

    from tools.openapi_document.contracts import Contracts

_HTTP = "google.api.http"
_BYTES = "google.api.HttpBody"
_PAGING = ("page_size", "page_token")
_WELL_KNOWN = {
    "google.protobuf.Struct": ("Mapping[str, object]", "to_struct({})"),
    "google.protobuf.FieldMask": ("Sequence[str]", "FieldMask(paths=list({}))"),
    "google.protobuf.Timestamp": ("datetime", "{}"),
    "google.protobuf.Duration": ("timedelta", "{}"),
}
"""The type of a parameter, and how it becomes the field."""
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: ("str", '""'),
    FieldDescriptor.CPPTYPE_BOOL: ("bool", "False"),
    FieldDescriptor.CPPTYPE_DOUBLE: ("float", "0.0"),
    FieldDescriptor.CPPTYPE_FLOAT: ("float", "0.0"),
}
_IMPORTS = '''\
"""{comment}"""

# Generated from {source} by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta

from soma_client.calls import Caller
from soma_client.gen.google.api import HttpBody
from soma_client.gen.google.protobuf import FieldMask, Struct
{packages}
from soma_client.paging import Pages
from soma_client.structs import to_struct


class {name}:
    """{comment}"""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

'''


_ATTRIBUTES = {
    "ApiService": "api",
    "AuditService": "audit",
    "CriticService": "evaluations",
    "DegradationService": "health",
    "ProvenanceService": "provenance",
    "SelectorService": "selections",
}
"""Attributes that are named otherwise than by the rule; released clients know them by these names."""
_CLIENT = '''\
"""Every service of the mesh that has methods for clients."""

# Generated from protos/soma by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
{imports}


class Services:
    """Every service of the mesh, each with its methods."""

    def __init__(self, caller: Caller) -> None:
{attributes}
'''


_PACKAGES = '''\
"""The messages of each context by its name."""

# Generated from protos/soma by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

{imports}

__all__ = {names}
'''


def module_name(service: ServiceDescriptor) -> str:
    """Name of the module of a service, for example job_service."""
    return snake(service.name)


def snake(name: str) -> str:
    """GetOpenApi as get_open_api."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def python_name(method: MethodDescriptor) -> str:
    """Name of the method: without the resource that the service is named by, so that JobService has submit and list."""
    resource = _resource(method.containing_service)
    name = method.name.removesuffix(resource)
    if method.name == f"List{_plural(resource)}":
        name = "List"
    return snake(name)


def attribute_name(service: ServiceDescriptor) -> str:
    """What the client calls the service: NoteService is `notes`."""
    return _ATTRIBUTES.get(service.name) or snake(_plural(_resource(service)))


def render_client(services: Sequence[ServiceDescriptor]) -> str:
    """The module with an attribute for each of the services; ValueError when two have the same."""
    names: dict[str, ServiceDescriptor] = {}
    for service in sorted(services, key=lambda each: each.name):
        first = names.setdefault(attribute_name(service), service)
        if first is not service:
            raise ValueError(f"{first.full_name} and {service.full_name} have one name in the client: rename one")
    folder = "soma_client.gen.services"
    imports = [f"from {folder}.{module_name(each)} import {each.name}Methods" for each in names.values()]
    attributes = [f"        self.{name} = {each.name}Methods(caller)" for name, each in names.items()]
    return _CLIENT.format(imports="\n".join(imports), attributes="\n".join(attributes))


def render_packages(packages: Sequence[str]) -> str:
    """The module that names the messages of all packages, each `soma.<name>.v1` by its name."""
    names = sorted(package.split(".")[1] for package in packages)
    imports = [f"from soma_client.gen.soma.{name} import v1 as {name}" for name in names]
    return _PACKAGES.format(imports="\n".join(imports), names=names)


def _resource(service: ServiceDescriptor) -> str:
    return str(service.name.removesuffix("Service"))


def _plural(resource: str) -> str:
    return re.sub(r"(?<![aeiou])y$", "ie", resource) + "s"


def is_rendered(contracts: Contracts, method: MethodDescriptor) -> bool:
    """Whether clients may call the method, and it neither sends a stream nor streams bytes."""
    by_hand = method.client_streaming or (method.server_streaming and method.output_type.full_name == _BYTES)
    return contracts.option(method, _HTTP) is not None and not by_hand


def render(contracts: Contracts, service: ServiceDescriptor) -> str:
    """The module of a service; empty when none of its methods is rendered."""
    rendered = [_method(contracts, method) for method in service.methods if is_rendered(contracts, method)]
    if not rendered:
        return ""
    text = "\n".join(rendered)
    packages = "\n".join(
        f"from soma_client.gen.soma.{name} import v1 as {name}_v1"
        for name in sorted(set(re.findall(r"\b([a-z]+)_v1\.", text)))
    )
    head = _IMPORTS.format(
        comment=contracts.comment(service.full_name),
        source=f"protos/{service.file.name}",
        packages=packages,
        name=f"{service.name}Methods",
    )
    return head + text


def _method(contracts: Contracts, method: MethodDescriptor) -> str:
    fields = list(method.input_type.fields)
    required = [field for field in fields if "REQUIRED" in contracts.behaviors(field)]
    given = [_parameter(field, required=True) for field in required]
    optional = [_parameter(field, required=False) for field in fields if field not in required]
    if not method.server_streaming:
        optional.append("timeout: float | None = None")
    words = ", ".join(["self", *given, *(["*", *optional] if optional else [])])
    paged = all(name in method.input_type.fields_by_name for name in _PAGING)
    head = f"def {python_name(method)}({words})"
    if paged:
        return _paged(contracts, method, head)
    reply = _type(method.output_type)
    result, call = (reply, "await self._caller.unary") if not method.server_streaming else (
        f"AsyncGenerator[{reply}, None]", "self._caller.stream"
    )  # fmt: skip
    last = ", timeout" if not method.server_streaming else ""
    body = f"request = {_request(fields, method.input_type)}\nreturn {call}({_path(method)!r}, request, {reply}{last})"
    prefix = "" if method.server_streaming else "async "
    return _indented(f"{prefix}{head} -> {result}:", _docstring(contracts, method), body)


def _paged(contracts: Contracts, method: MethodDescriptor, head: str) -> str:
    reply = method.output_type
    items = next(field for field in reply.fields if field.is_repeated)
    page = _type(reply)
    body = (
        f"def request(token: str) -> {_type(method.input_type)}:\n"
        f"    return {_request(list(method.input_type.fields), method.input_type, page_token='token')}\n\n"
        f"return Pages(self._caller, {_path(method)!r}, request, {page}, "
        f"lambda page: page.{items.name}, page_token=page_token, timeout=timeout)"
    )
    item = _single(items)[0]
    return _indented(f"{head} -> Pages[{page}, {item}]:", _docstring(contracts, method), body)


def _indented(head: str, docstring: str, body: str) -> str:
    return textwrap.indent(f"{head}\n{textwrap.indent(f'{docstring}{body}', '    ')}\n", "    ")


def _docstring(contracts: Contracts, method: MethodDescriptor) -> str:
    lines = textwrap.wrap(contracts.comment(method.full_name), 100)
    names = []
    for field in method.input_type.fields:
        text = contracts.comment(field.full_name)
        names += textwrap.wrap(f"{field.name}: {text}", 96, initial_indent="    ", subsequent_indent="        ")
    if not method.server_streaming:
        names += ["    timeout: Seconds for all attempts together; absent: the deadline of the contract."]
    return "\n".join(['"""' + lines[0], *lines[1:], *(["", "Args:", *names] if names else []), '"""', ""])


def _parameter(field: FieldDescriptor, *, required: bool) -> str:
    kind, default = _parameter_type(field)
    if required:
        return f"{field.name}: {kind}"
    return f"{field.name}: {kind} | None = None" if default == "None" else f"{field.name}: {kind} = {default}"


def _parameter_type(field: FieldDescriptor) -> tuple[str, str]:
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise ValueError(f"{field.full_name} is a map: tools/python_methods.py renders none in a request")
        return f"Sequence[{_single(field)[0]}]", "()"
    kind, default = _single(field)
    return kind, "None" if field.has_presence else default


def _single(field: FieldDescriptor) -> tuple[str, str]:
    if field.message_type is not None:
        known = _WELL_KNOWN.get(field.message_type.full_name)
        return (known[0] if known else _type(field.message_type)), "None"
    if field.enum_type is not None:
        name = _type(field.enum_type)
        return name, f"{name}(0)"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes", 'b""'
    return _SCALARS.get(field.cpp_type, ("int", "0"))


def _request(fields: Sequence[FieldDescriptor], message: MessageDescriptor, **replaced: str) -> str:
    values = ", ".join(f"{field.name}={replaced.get(field.name) or _value(field)}" for field in fields)
    return f"{_type(message)}({values})"


def _value(field: FieldDescriptor) -> str:
    name = field.name
    if name == "request_id":
        return "request_id or self._caller.new_id()"
    if field.is_repeated:
        return f"list({name})"
    if field.message_type is not None and (known := _WELL_KNOWN.get(field.message_type.full_name)):
        return known[1].format(name)
    return name


def _type(described: MessageDescriptor | EnumDescriptor) -> str:
    """The Python name of a message or an enum."""
    package = described.file.package
    if package.startswith("soma."):
        return f"{package.split('.')[1]}_v1.{described.name}"
    return str(described.name)


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"
