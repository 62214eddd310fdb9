"""JSON within messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import struct_pb2

from mesh.rpc.wellknown import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue


def struct(fields: Mapping[str, JsonValue]) -> struct_pb2.Struct:
    """JSON as a Struct."""
    message = struct_pb2.Struct()
    message.update(dict(fields))
    return message


def fields(message: struct_pb2.Struct) -> Mapping[str, JsonValue]:
    """A Struct as JSON, whole numbers as such."""
    return json_object(message)
