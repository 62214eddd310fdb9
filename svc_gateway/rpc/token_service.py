"""TokenService: convert, call, convert back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.context import caller
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1 import identity_service_pb2_grpc as pb_grpc
from svc_gateway.rpc.convert import token_to_proto

if TYPE_CHECKING:
    import grpc.aio

    from svc_gateway.app.keys import Tokens

    Context = grpc.aio.ServicerContext[object, object]


class TokenServicer(pb_grpc.TokenServiceServicer):
    """Short-lived tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.Token:
        """Creates a token for the caller."""
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else timedelta()
        return token_to_proto(await self._tokens.create(caller(), ttl or None, tuple(request.roles)))
