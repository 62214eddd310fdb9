"""Short-lived tokens."""

# Generated from protos/soma/gateway/v1/identity_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from soma_client.calls import Caller
from soma_client.gen.soma.gateway import v1 as gateway_v1


class TokenServiceMethods:
    """Short-lived tokens."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, *, ttl: timedelta | None = None, roles: Sequence[str] = (), timeout: float | None = None
    ) -> gateway_v1.Token:
        """Makes a token for the caller, from its API key or a token, with the same rights or fewer.

        Args:
            ttl: How long it lives, 1 minute to 15 minutes; absent: 15 minutes.
            roles: Roles it keeps, a part of the caller's; empty: all.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.CreateTokenRequest(ttl=ttl, roles=list(roles))
        return await self._caller.unary("/soma.gateway.v1.TokenService/CreateToken", request, gateway_v1.Token, timeout)
