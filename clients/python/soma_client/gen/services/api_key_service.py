"""API keys of the caller's tenant."""

# Generated from protos/soma/gateway/v1/identity_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.gateway import v1 as gateway_v1
from soma_client.paging import Pages


class ApiKeyServiceMethods:
    """API keys of the caller's tenant."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, api_key: gateway_v1.ApiKey, *, request_id: str = "", tenant_id: str = "", timeout: float | None = None
    ) -> gateway_v1.ApiKey:
        """Makes a key; its secret is in the answer and is never shown again. Idempotent on request_id, the
        secret is not repeated.

        Args:
            api_key: The key. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            tenant_id: Tenant that gets the key; empty: the caller's. Only the platform's administrators
                may name another, which is how a new tenant gets its first key.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.CreateApiKeyRequest(
            api_key=api_key, request_id=request_id or self._caller.new_id(), tenant_id=tenant_id
        )
        return await self._caller.unary(
            "/soma.gateway.v1.ApiKeyService/CreateApiKey", request, gateway_v1.ApiKey, timeout
        )

    async def get(self, key_id: str, *, timeout: float | None = None) -> gateway_v1.ApiKey:
        """Reads a key without its secret.

        Args:
            key_id: Id of the key. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetApiKeyRequest(key_id=key_id)
        return await self._caller.unary("/soma.gateway.v1.ApiKeyService/GetApiKey", request, gateway_v1.ApiKey, timeout)

    def list(
        self, *, include_inactive: bool = False, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pages[gateway_v1.ListApiKeysResponse, gateway_v1.ApiKey]:
        """Lists keys without their secrets, newest first.

        Args:
            include_inactive: Also revoked and expired ones.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> gateway_v1.ListApiKeysRequest:
            return gateway_v1.ListApiKeysRequest(
                include_inactive=include_inactive, page_size=page_size, page_token=token
            )

        return Pages(
            self._caller,
            "/soma.gateway.v1.ApiKeyService/ListApiKeys",
            request,
            gateway_v1.ListApiKeysResponse,
            lambda page: page.api_keys,
            page_token=page_token,
            timeout=timeout,
        )

    async def revoke(self, key_id: str, *, timeout: float | None = None) -> gateway_v1.ApiKey:
        """Revokes a key, in effect everywhere within a second: streams that are open with it, or with a token
        made from it, end with UNAUTHENTICATED. Idempotent.

        Args:
            key_id: Id of the key. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.RevokeApiKeyRequest(key_id=key_id)
        return await self._caller.unary(
            "/soma.gateway.v1.ApiKeyService/RevokeApiKey", request, gateway_v1.ApiKey, timeout
        )
