"""ApiKeyService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import cursor_of, cursor_token, page_size, page_token_id
from mesh.rpc.request_keys import request_key
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1 import identity_service_pb2_grpc as pb_grpc
from svc_gateway.domain.keys import Revocation
from svc_gateway.rpc.convert import api_key_to_proto, key_spec_from_proto
from svc_gateway.rpc.key_watches import watch_existing_keys, watch_revocations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from svc_gateway.app.existing_key_feed import ExistingKeyFeed
    from svc_gateway.app.key_set_signer import KeySetSigner
    from svc_gateway.app.keys import ApiKeyUseCases
    from svc_gateway.app.revoked_key_feed import RevokedKeyFeed
    from svc_gateway.app.tenants import Tenants

    Context = grpc.aio.ServicerContext[object, object]


class ApiKeyServicer(pb_grpc.ApiKeyServiceServicer):
    """API keys of the caller's tenant."""

    def __init__(
        self,
        keys: ApiKeyUseCases,
        revoked: RevokedKeyFeed,
        existing: ExistingKeyFeed,
        signer: KeySetSigner,
        tenants: Tenants,
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._existing = existing
        self._signer = signer
        self._tenants = tenants

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.ApiKey:
        """Creates a key and returns its secret."""
        spec = key_spec_from_proto(request, await request_key(request))
        if request.tenant_id:
            await self._tenants.get(caller(), request.tenant_id)
        created = await self._keys.create(caller(), spec)
        return api_key_to_proto(created.key, created.secret)

    async def GetApiKey(self, request: pb.GetApiKeyRequest, context: Context) -> pb.ApiKey:
        """Returns a key."""
        return api_key_to_proto(await self._keys.get(caller(), request.key_id))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """Lists keys."""
        page = await self._keys.list(
            caller(),
            include_inactive=request.include_inactive,
            size=page_size(request),
            before=page_token_id(cursor_of(request)),
        )
        token = cursor_token(request, page.next_cursor) if page.next_cursor else ""
        return pb.ListApiKeysResponse(api_keys=[api_key_to_proto(key) for key in page.keys], next_page_token=token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.ApiKey:
        """Revokes a key; this process refuses it before it responds."""
        key = await self._keys.revoke(caller(), request.key_id)
        await self._revoked.add(Revocation(key.key_id, key.expires_at))
        return api_key_to_proto(key)

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Streams revoked keys, then each new one."""
        async for message in watch_revocations(self._revoked, request.bucket_digests):
            yield message

    async def WatchApiKeys(
        self, request: pb.WatchApiKeysRequest, context: Context
    ) -> AsyncIterator[pb.WatchApiKeysResponse]:
        """Streams the ids of existing keys, then each change."""
        async for message in watch_existing_keys(self._existing, self._signer, request.bucket_digests):
            yield message
