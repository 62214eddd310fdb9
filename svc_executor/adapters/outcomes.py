"""Outcomes of provider calls as blobs: `<tenant>/provider-results/<attempt>`."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from soma_providers.port import Artefact, InvocationResult, Usage
from svc_executor.domain.provider_call import CallOutcome
from svc_executor.domain.usage import NO_USAGE, clamp_usage

if TYPE_CHECKING:
    from typing import Any

    from mesh.stores.blobs import Blobs

MAX_BYTES = 256 * 1024 * 1024
_FOLDER = "provider-results"
_LENGTH = struct.Struct(">Q")


class BlobOutcomes:
    """`OutcomeStore`. `max_bytes` bounds the stored bytes of one call."""

    def __init__(self, blobs: Blobs, *, max_bytes: int = MAX_BYTES) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes

    async def save(self, tenant_id: str, key: str, outcome: CallOutcome) -> None:
        content = encode(outcome)
        if len(content) > self._max_bytes:
            raise SomaError(
                Reason.PAYLOAD_TOO_LARGE,
                f"the provider result is {len(content):,} bytes; at most {self._max_bytes:,} bytes can be stored",
            )
        await self._blobs.put(_path(tenant_id, key), content)

    async def find(self, tenant_id: str, key: str) -> CallOutcome | None:
        try:
            return decode(await self._blobs.read(_path(tenant_id, key)))
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def delete(self, tenant_id: str, key: str) -> None:
        await self._blobs.delete(_path(tenant_id, key))


def encode(outcome: CallOutcome) -> bytes:
    """An outcome as bytes: length of the head, the head as JSON, the contents of the artefacts."""
    fields = asdict(outcome)
    del fields["called"], fields["stored"]
    contents = []
    for artefact in (fields["result"] or {}).get("artefacts", ()):
        content = artefact.pop("content")
        artefact["size"] = len(content)
        contents.append(content)
    head = json.dumps(fields, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *contents))


def decode(content: bytes) -> CallOutcome:
    """The outcome of bytes that `encode` of this version or an earlier one made."""
    start = _LENGTH.size + _LENGTH.unpack_from(content)[0]
    fields: dict[str, Any] = json.loads(content[_LENGTH.size : start])
    cost, result = fields.pop("cost_micro_usd", None), fields.pop("result")
    fields.pop("kept", None)  # written by earlier versions
    fields |= {"stored": True, "usage": _usage(fields.get("usage") if cost is None else _usage_at(cost, result))}
    if result is None:
        return CallOutcome(**fields, result=None)
    artefacts = []
    for artefact in result.pop("artefacts"):
        end = start + artefact.pop("size")
        artefacts.append(Artefact(content=content[start:end], **artefact))
        start = end
    used = Usage(**result.pop("usage"))
    return CallOutcome(**fields, result=InvocationResult(tuple(artefacts), usage=used, **result))


def _usage(fields: dict[str, Any] | None) -> Usage | None:
    return None if fields is None else clamp_usage(Usage(**fields))


def _usage_at(cost_micro_usd: int, result: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a call used whose cost an earlier version stored: of a failed one that is not known, unless nothing."""
    if result is not None:
        usage: dict[str, Any] = result["usage"]
        return usage
    return None if cost_micro_usd else asdict(NO_USAGE)


def _path(tenant_id: str, key: str) -> str:
    return f"{tenant_id}/{_FOLDER}/{key}"
