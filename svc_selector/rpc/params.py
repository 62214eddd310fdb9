"""What of a request may be large: its parameters, read without holding up others."""

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

KEPT_BYTES = 16 << 10
"""Longest parameters that are kept, serialised."""
MAX_VALUES = 50_000
"""Most values of parameters: what is checked and redacted takes time by their number, not by their bytes."""
INLINE_BYTES = 1 << 10
"""What is larger is read in a thread."""


@dataclass(frozen=True)
class Params:
    """Parameters as they are checked, and what is kept of them."""

    value: JsonObject
    kept: StoredParams


async def params_from(requirements: capability_service_pb2.Requirements) -> Params | None:
    """The parameters; None where there are none.

    INVALID_ARGUMENT for a number that JSON does not have, and for more than `MAX_VALUES` values.
    """
    if not requirements.HasField("params"):
        return None
    size = requirements.params.ByteSize()
    if size <= INLINE_BYTES:
        return _read(requirements.params, size)
    return await asyncio.to_thread(_read_large, requirements.params, size)


def _read_large(message: Struct, size: int) -> Params:
    params = _read(message, size)
    # As plain values they are counted in a tenth of the time; the interceptor has bounded what is read here.
    if _count(params.value) > MAX_VALUES:
        raise invalid("requirements.params", f"must hold at most {MAX_VALUES:,} values")
    return params


def _count(value: JsonObject) -> int:
    """How many values an object holds, objects and lists counted as well as what they hold."""
    count, waiting = 0, [list(value.values())]
    while waiting:
        parts = waiting.pop()
        count += len(parts)
        for part in parts:
            if isinstance(part, dict):
                waiting.append(list(part.values()))
            elif isinstance(part, list):
                waiting.append(part)
    return count


def _read(message: Struct, size: int) -> Params:
    try:
        value = json_object(message)
    except ValueError:
        raise invalid("requirements.params", "holds a number that is not finite") from None
    if size <= KEPT_BYTES:
        return Params(value, StoredParams(Redactor().object(value), size_bytes=size))
    digest = hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
    return Params(value, StoredParams(None, digest, size))
