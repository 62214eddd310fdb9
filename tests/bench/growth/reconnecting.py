"""What a service knows when it opens a stream again: of API keys and capabilities it is then sent what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.identity.signed_statements import expires_at_s
from mesh.rpc.wellknown import moment
from tests.bench.growth.world import SERVICE

if TYPE_CHECKING:
    from tests.bench.growth.world import Json, World

REVOCATIONS, KEYS = (f"gateway.v1.ApiKeyService.Watch{name}" for name in ("Revocations", "ApiKeys"))


CAPABILITIES = "registry.v1.CapabilityService.WatchCapabilities"


async def known_capabilities(world: World) -> Json:
    """Where the stream of capabilities goes on, as of now."""
    async for message in world.stream(CAPABILITIES, {"resume_token": world.resume_token}, SERVICE):
        world.resume_token = message.resume_token or world.resume_token
        if message.complete or message.heartbeat:
            break
    return {"resume_token": world.resume_token}


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
    async for message in world.stream(KEYS, {"bucket_digests": world.key_ids.bucket_digests}, SERVICE):
        changed |= {bucket.index: bucket.ids for bucket in message.buckets}
        if message.HasField("as_of"):
            break
    world.key_ids = world.key_ids.with_buckets(changed)
    return {"bucket_digests": world.key_ids.bucket_digests}
