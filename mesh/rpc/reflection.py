"""Server reflection, so that tools can list and call every method without a copy of the contracts.

The library serves `v1alpha` only. `v1` has the same messages under another package name, so one servicer answers both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mesh.rpc.registrar import Registrar, Registration
    from mesh.rpc.wrapped_handlers import Handler

V1 = "grpc.reflection.v1.ServerReflection"
V1_ALPHA = reflection.SERVICE_NAME
_METHOD = "ServerReflectionInfo"
_V1_FILE = "grpc/reflection/v1/reflection.proto"


def registrations(service_names: Iterable[str]) -> list[Registration]:
    """What adds both versions of reflection over these services to a server."""
    _describe_v1()
    servicer = reflection.aio.ReflectionServicer((*service_names, V1, V1_ALPHA))
    return [(_add_to(V1), servicer), (_add_to(V1_ALPHA), servicer)]


def _add_to(service: str) -> Callable[[reflection.aio.ReflectionServicer, Registrar], None]:
    def add(servicer: reflection.aio.ReflectionServicer, server: Registrar) -> None:
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_registered_method_handlers(service, {_METHOD: cast("Handler", handler)})

    return add


def _describe_v1() -> None:
    """Make the `v1` service known by its descriptor, derived from the `v1alpha` one, unless something else did."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        file.name, file.package = _V1_FILE, "grpc.reflection.v1"
        typed = [field for message in file.message_type for field in message.field if field.type_name]
        for field in typed:
            field.type_name = _as_v1(field.type_name)
        for method in file.service[0].method:
            method.input_type, method.output_type = _as_v1(method.input_type), _as_v1(method.output_type)
        pool.AddSerializedFile(file.SerializeToString())


def _as_v1(type_name: str) -> str:
    return type_name.replace(".reflection.v1alpha.", ".reflection.v1.")
