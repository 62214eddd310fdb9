"""Parameters of a request: they may be large, so they are read without blocking the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import invalid
from mesh.redaction import Redactor
from mesh.rpc.wellknown import json_object
from svc_selector.domain.model import JsonObject, StoredParams

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

    from soma.registry.v1 import capability_service_pb2

MAX_STORED_BYTES = 16 << 10
"""Most bytes of serialised parameters that are stored; of larger ones the digest is."""
MAX_VALUES = 50_000
"""Most values in parameters: the time of checks and redaction grows with their number, not with their bytes."""
INLINE_BYTES = 1 << 10
"""Parameters up to this size are read without a thread."""


@dataclass(frozen=True)
class Params:
    """Parameters as they are checked, and as they are stored."""

    value: JsonObject
    stored: StoredParams


async def params_from_proto(requirements: capability_service_pb2.Requirements) -> Params | None:
    """Returns the parameters; None where there are none.

    INVALID_ARGUMENT for a number that JSON does not have, and for more than `MAX_VALUES` values.
    """
    if not requirements.HasField("params"):
        return None
    size = requirements.params.ByteSize()
    if size <= INLINE_BYTES:
        return _read_params(requirements.params, size)
    return await asyncio.to_thread(_read_large_params, requirements.params, size)


def _read_large_params(message: Struct, size: int) -> Params:
    params = _read_params(message, size)
    # Plain values are counted in a tenth of the time of a Struct; the size was limited by an interceptor.
    if _count(params.value) > MAX_VALUES:
        raise invalid("requirements.params", f"must hold at most {MAX_VALUES:,} values")
    return params


def _count(value: JsonObject) -> int:
    """Returns how many values an object contains; objects and lists count too."""
    count, pending = 0, [list(value.values())]
    while pending:
        children = pending.pop()
        count += len(children)
        for child in children:
            if isinstance(child, dict):
                pending.append(list(child.values()))
            elif isinstance(child, list):
                pending.append(child)
    return count


def _read_params(message: Struct, size: int) -> Params:
    try:
        value = json_object(message)
    except ValueError:
        raise invalid("requirements.params", "holds a number that is not finite") from None
    if size <= MAX_STORED_BYTES:
        return Params(value, StoredParams(Redactor().object(value), size_bytes=size))
    digest = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
    return Params(value, StoredParams(None, digest, size))
