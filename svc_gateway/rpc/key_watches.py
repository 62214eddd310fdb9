"""The messages of the streams of existing and of revoked keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.gateway.v1 import identity_service_pb2 as pb
from svc_gateway.app.key_set_signer import STATEMENT_MAX_AGE_S
from svc_gateway.rpc.convert import revocation_to_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from svc_gateway.app.existing_key_feed import ExistingKeyFeed, ExistingKeysUpdate
    from svc_gateway.app.key_set_signer import KeySetSigner
    from svc_gateway.app.revoked_key_feed import RevokedKeyFeed

_MAX_REVOCATIONS = 5_000
"""Revocations in one message at most."""
_MAX_ID_BYTES = 1024 * 1024
"""Bytes of key ids in one message at most, unless one bucket has more."""


async def watch_existing_keys(
    existing: ExistingKeyFeed, signer: KeySetSigner, bucket_digests: Sequence[int]
) -> AsyncIterator[pb.WatchApiKeysResponse]:
    """Yields the messages of WatchApiKeys: each reading at once, the statement with a later reading of the same keys.

    The statement has no message of its own, since receivers count messages with `as_of` as readings.
    """
    signed_at = 0.0
    async for update in existing.watch(bucket_digests):
        *earlier, last = _bucket_messages(update)
        for message in earlier:
            yield message
        last.as_of.FromDatetime(update.as_of)
        at = update.as_of.timestamp()
        if at - signed_at >= STATEMENT_MAX_AGE_S:
            last.statement = signer.existing_statement(update.ids, update.as_of)
            signed_at = at if last.statement else signed_at
        yield last


def _bucket_messages(update: ExistingKeysUpdate) -> list[pb.WatchApiKeysResponse]:
    """Returns the changed buckets in at least one message, none of them too large."""
    messages, size = [pb.WatchApiKeysResponse()], 0
    for index in update.changed_buckets:
        ids = update.ids.buckets[index]
        if size + len(ids) > _MAX_ID_BYTES:
            messages.append(pb.WatchApiKeysResponse())
            size = 0
        messages[-1].buckets.add(index=index, ids=ids)
        size += len(ids)
    return messages


async def watch_revocations(
    revoked: RevokedKeyFeed, bucket_digests: Sequence[int] = ()
) -> AsyncIterator[pb.WatchRevocationsResponse]:
    """Yields the messages of WatchRevocations: keys at once, the time of their reading and the statement later."""
    async for update in revoked.watch(bucket_digests):
        for start in range(0, len(update.revocations) or 1, _MAX_REVOCATIONS):
            message = pb.WatchRevocationsResponse(
                snapshot=update.snapshot and start == 0,
                revocations=map(revocation_to_proto, update.revocations[start : start + _MAX_REVOCATIONS]),
                statement=update.statement,
                replaced_buckets=() if start else update.replaced_buckets,
            )
            if update.as_of is not None:
                message.as_of.FromSeconds(int(update.as_of.timestamp()))
            yield message
