"""What a service knows of API keys when it opens the gateway's streams again: it is then sent what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.identity.statements import expires_at_s
from mesh.rpc.wellknown import moment
from tests.bench.growth.world import SERVICE

if TYPE_CHECKING:
    from tests.bench.growth.world import Json, World

REVOCATIONS, KEYS = (f"gateway.v1.ApiKeyService.Watch{name}" for name in ("Revocations", "ApiKeys"))


async def known_revocations(world: World) -> Json:
    """Digests of the revoked keys, as of now."""
    known, digests = world.revocations, world.revocations.digests()
    async for message in world.stream(REVOCATIONS, {"bucket_digests": digests} if any(digests) else {}, SERVICE):
        for key_id in [key_id for index in message.replaced_buckets for key_id in known.ids(index)]:
            known.remove(key_id)
        ends = {item.key_id: moment(item.expire_time) for item in message.revocations}
        known.add({key_id: expires_at_s(end) for key_id, end in ends.items() if end is not None})
        if message.HasField("as_of"):
            break
    return {"bucket_digests": known.digests()}


async def known_keys(world: World) -> Json:
    """Digests of the keys that exist, as of now."""
    changed: dict[int, bytes] = {}
    async for message in world.stream(KEYS, {"bucket_digests": world.key_ids.bucket_digests()}, SERVICE):
        changed |= {bucket.index: bucket.ids for bucket in message.buckets}
        if message.HasField("as_of"):
            break
    world.key_ids = world.key_ids.with_buckets(changed)
    return {"bucket_digests": world.key_ids.bucket_digests()}
