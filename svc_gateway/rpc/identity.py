"""TokenService and ApiKeyService: convert, call, convert back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import cursor_of, cursor_token, page_size, page_token_id
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import moment, timestamp
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1 import identity_service_pb2_grpc as pb_grpc
from svc_gateway.app.keys import NewKey
from svc_gateway.app.signed_statements import KEYS_SIGNED_S
from svc_gateway.domain.keys import Revocation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc.aio

    from svc_gateway.app.existing_keys import ExistingKeys, KeysRead
    from svc_gateway.app.keys import Keys, Tokens
    from svc_gateway.app.revocations import RevokedKeys
    from svc_gateway.app.signed_statements import Statements
    from svc_gateway.app.tenants import Tenants
    from svc_gateway.domain.keys import ApiKey

    Context = grpc.aio.ServicerContext[object, object]

_MAX_REVOCATIONS = 5_000
_MAX_ID_BYTES = 1024 * 1024


class TokenServicer(pb_grpc.TokenServiceServicer):
    """Short-lived tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.Token:
        """Makes a token for the caller."""
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else timedelta()
        made = await self._tokens.create(caller(), ttl or None, tuple(request.roles))
        return pb.Token(token=made.token, token_type="Bearer", expire_time=timestamp(made.expires_at))  # noqa: S106


class ApiKeyServicer(pb_grpc.ApiKeyServiceServicer):
    """API keys of the caller's tenant."""

    def __init__(
        self, keys: Keys, revoked: RevokedKeys, existing: ExistingKeys, statements: Statements, tenants: Tenants
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._existing = existing
        self._statements = statements
        self._tenants = tenants

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.ApiKey:
        """Makes a key and tells its secret."""
        wanted = NewKey(
            display_name=request.api_key.display_name,
            subject=request.api_key.subject,
            roles=tuple(request.api_key.roles),
            expires_at=moment(request.api_key.expire_time, "api_key.expire_time"),
            request=await request_key(request),
            tenant_id=request.tenant_id,
            personas=tuple(request.api_key.personas),
            capsules=tuple(request.api_key.capsules),
        )
        if request.tenant_id:
            await self._tenants.get(caller(), request.tenant_id)
        made = await self._keys.create(caller(), wanted)
        return _key(made.key, made.secret)

    async def GetApiKey(self, request: pb.GetApiKeyRequest, context: Context) -> pb.ApiKey:
        """Reads a key."""
        return _key(await self._keys.get(caller(), request.key_id))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """Lists keys."""
        page = await self._keys.list(
            caller(),
            include_inactive=request.include_inactive,
            size=page_size(request),
            before=page_token_id(cursor_of(request)),
        )
        token = cursor_token(request, page.end) if page.end else ""
        return pb.ListApiKeysResponse(api_keys=[_key(key) for key in page.keys], next_page_token=token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.ApiKey:
        """Revokes a key; this process refuses it before it answers."""
        key = await self._keys.revoke(caller(), request.key_id)
        await self._revoked.add(Revocation(key.key_id, key.expires_at))
        return _key(key)

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Sends revoked keys, then each new one."""
        async for message in revocations(self._revoked, request.bucket_digests):
            yield message

    async def WatchApiKeys(
        self, request: pb.WatchApiKeysRequest, context: Context
    ) -> AsyncIterator[pb.WatchApiKeysResponse]:
        """Sends the ids of keys, then what changes."""
        async for message in existing_keys(self._existing, self._statements, request.bucket_digests):
            yield message


async def existing_keys(
    existing: ExistingKeys, statements: Statements, bucket_digests: Sequence[int]
) -> AsyncIterator[pb.WatchApiKeysResponse]:
    """The messages of WatchApiKeys. A reading is told at once, the statement with a later one of the same keys.

    It has no message of its own: receivers count those with as_of as readings.
    """
    signed_at = 0.0
    async for read in existing.watch(bucket_digests):
        *parts, message = _bucket_messages(read)
        for part in parts:
            yield part
        message.as_of.FromDatetime(read.as_of)
        at = read.as_of.timestamp()
        if at - signed_at >= KEYS_SIGNED_S:
            message.statement = statements.of_keys(read.ids, read.as_of)
            signed_at = at if message.statement else signed_at
        yield message


def _bucket_messages(read: KeysRead) -> list[pb.WatchApiKeysResponse]:
    """One message at least, none of them too large."""
    messages, size = [pb.WatchApiKeysResponse()], 0
    for index in read.changed:
        ids = read.ids.buckets[index]
        if size + len(ids) > _MAX_ID_BYTES:
            messages.append(pb.WatchApiKeysResponse())
            size = 0
        messages[-1].buckets.add(index=index, ids=ids)
        size += len(ids)
    return messages


async def revocations(
    revoked: RevokedKeys, bucket_digests: Sequence[int] = ()
) -> AsyncIterator[pb.WatchRevocationsResponse]:
    """The messages of WatchRevocations. Keys go at once; when they were read, and the statement, in a later message."""
    async for change in revoked.watch(bucket_digests):
        for start in range(0, len(change.revocations) or 1, _MAX_REVOCATIONS):
            message = pb.WatchRevocationsResponse(
                snapshot=change.snapshot and start == 0,
                revocations=[
                    pb.Revocation(key_id=item.key_id, expire_time=timestamp(item.expires_at))
                    for item in change.revocations[start : start + _MAX_REVOCATIONS]
                ],
                statement=change.statement,
                replaced_buckets=() if start else change.replaced_buckets,
            )
            if change.as_of is not None:
                message.as_of.FromSeconds(int(change.as_of.timestamp()))
            yield message


def _key(key: ApiKey, secret: str = "") -> pb.ApiKey:
    return pb.ApiKey(
        key_id=key.key_id,
        display_name=key.display_name,
        subject=key.subject,
        roles=key.roles,
        expire_time=timestamp(key.expires_at),
        secret=secret,
        create_time=timestamp(key.created_at),
        revoke_time=timestamp(key.revoked_at),
        created_by=key.created_by,
        personas=key.personas,
        capsules=key.capsules,
    )
