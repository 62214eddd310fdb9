"""What failures look like: one body, and for each status the reasons that lead to it."""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus

from mesh.errors import STATUS_MAPPINGS

_SCHEMA = "#/components/schemas/Error"
_CLIENT_CLOSED = 499
_WITH_RETRY = frozenset({409, 429, 503, 504})
# What can go wrong with any call, whatever it does.
ALWAYS = (400, 401, 403, 404, 429, _CLIENT_CLOSED, 500, 501, 503, 504)


def statuses(verb: str, *, public: bool, body: bool, variables: bool) -> list[int]:
    """Every failure status that an operation may answer with."""
    found = set(ALWAYS)
    if public:
        found.discard(403)
    if body:
        found |= {413, 415}
    if verb != "GET":
        found.add(409)
    if variables:
        # A variable may spell the path of another operation.
        found.add(405)
    return sorted(found)


def responses() -> dict[str, object]:
    """The reusable responses, by name."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for reason, rule in STATUS_MAPPINGS.items():
        reasons[rule.http_status].append(reason.value)
    return {name(status): _response(status, found) for status, found in sorted(reasons.items())}


def name(status: int) -> str:
    """Name of the reusable response of a status."""
    return f"E{status}"


def schemas() -> dict[str, object]:
    """The schemas of the error body."""
    return {"Error": _ERROR, "ErrorInfo": _info(), "ErrorDetail": _DETAIL}


def _response(status: int, reasons: list[str]) -> dict[str, object]:
    title = "Client Closed Request" if status == _CLIENT_CLOSED else HTTPStatus(status).phrase
    response: dict[str, object] = {
        "description": f"{title}: {', '.join(reasons)}",
        "content": {"application/json": {"schema": {"$ref": _SCHEMA}}},
    }
    headers: dict[str, object] = {}
    if status in _WITH_RETRY:
        text = "Seconds to wait before trying again; absent when trying again does not help."
        headers["Retry-After"] = {"description": text, "schema": {"type": "string"}}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = {"description": "The methods of this path.", "schema": {"type": "string"}}
    return {**response, **({"headers": headers} if headers else {})}


_ERROR = {
    "type": "object",
    "description": "A failure, in the form of google.rpc.Status. One of the details is an ErrorInfo.",
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "gRPC code."},
        "message": {"type": "string", "description": "For people: what is wrong and what to do."},
        "details": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorDetail"}},
    },
    "required": ["code", "message", "details"],
}
_DETAIL = {
    "description": "A typed detail; @type names the message of google.rpc that it is.",
    "anyOf": [
        {"$ref": "#/components/schemas/ErrorInfo"},
        {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
    ],
}


def _info() -> dict[str, object]:
    return {
        "type": "object",
        "description": "Says for programs why a call failed.",
        "properties": {
            "@type": {"type": "string", "const": "type.googleapis.com/google.rpc.ErrorInfo"},
            "reason": {"type": "string", "enum": [reason.value for reason in STATUS_MAPPINGS]},
            "domain": {"type": "string", "const": "soma"},
            "metadata": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Short facts; trace_id names the trace to quote.",
            },
        },
        "required": ["@type", "reason", "domain"],
    }
