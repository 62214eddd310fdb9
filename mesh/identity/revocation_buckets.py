"""Revoked keys in buckets with digests: two sets are compared, and brought to the same state, without sending them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mesh.identity.key_ids import BUCKETS, bucket_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class RevocationBuckets:
    """Key ids and when they expire, in seconds since 1970.

    A key is in the bucket whose number is the first 12 bits of the SHA-256 of its id. A digest is computed again only
    after its bucket has changed.
    """

    def __init__(self, revoked: Mapping[str, int] | None = None) -> None:
        self._buckets: list[dict[str, int]] = [{} for _ in range(BUCKETS)]
        self._digests: list[int | None] = [0] * BUCKETS
        self.add(revoked or {})

    def add(self, revoked: Mapping[str, int]) -> None:
        """Add keys; those that were there get this end."""
        for key_id, until in revoked.items():
            index = _index_of(key_id)
            self._buckets[index][key_id] = until
            self._digests[index] = None

    def remove(self, key_id: str) -> None:
        """Remove a key, if it is there."""
        index = _index_of(key_id)
        if self._buckets[index].pop(key_id, None) is not None:
            self._digests[index] = None

    def ids(self, index: int) -> Collection[str]:
        """The key ids in a bucket."""
        return self._buckets[index].keys()

    def digest(self, index: int) -> int:
        """The first eight bytes of the SHA-256 of a bucket's lines "<key id> <end>", in ascending order; 0 if empty."""
        known = self._digests[index]
        if known is None:
            lines = "".join(f"{key_id} {until}\n" for key_id, until in sorted(self._buckets[index].items()))
            known = int.from_bytes(hashlib.sha256(lines.encode()).digest()[:8]) if lines else 0
            self._digests[index] = known
        return known

    def digests(self) -> list[int]:
        """The digest of each bucket."""
        return [self.digest(index) for index in range(BUCKETS)]


def without_buckets(revoked: Mapping[str, int], replaced: Collection[int]) -> dict[str, int]:
    """The keys that are in none of these buckets."""
    return {key_id: until for key_id, until in revoked.items() if _index_of(key_id) not in replaced}


def _index_of(key_id: str) -> int:
    return bucket_of(hashlib.sha256(key_id.encode("utf-8", "replace")).digest())
