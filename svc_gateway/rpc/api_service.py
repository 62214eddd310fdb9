"""ApiService: the documents that describe the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api import httpbody_pb2

from soma.gateway.v1 import health_service_pb2 as pb
from soma.gateway.v1 import health_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    Context = grpc.aio.ServicerContext[object, object]

_JSON = "application/json"


class ApiServicer(pb_grpc.ApiServiceServicer):
    """The OpenAPI document, and the public keys that verify tokens."""

    def __init__(self, openapi: bytes, jwks: Callable[[], str]) -> None:
        self._openapi = openapi
        self._jwks = jwks

    async def GetOpenApi(self, request: pb.GetOpenApiRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns the OpenAPI document."""
        return httpbody_pb2.HttpBody(content_type=_JSON, data=self._openapi)

    async def GetKeys(self, request: pb.GetKeysRequest, context: Context) -> httpbody_pb2.HttpBody:
        """Returns the public keys as a JSON Web Key Set."""
        return httpbody_pb2.HttpBody(content_type=_JSON, data=self._jwks().encode())
