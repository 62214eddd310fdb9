"""What a span says of its call, in the words of OpenTelemetry's conventions for RPC."""

from __future__ import annotations

import grpc

STATUS_CODE = "rpc.grpc.status_code"
_NUMBERS: dict[str, int] = {code.name: code.value[0] for code in grpc.StatusCode}


def span_attributes(service: str, method: str) -> dict[str, str]:
    """The attributes that are known when a call starts."""
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def number_of_code(name: str) -> int:
    """The number of a gRPC code, the value of `rpc.grpc.status_code`."""
    return _NUMBERS[name]
