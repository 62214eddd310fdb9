"""The API keys that exist: compact enough for some hundred thousand of them in every process."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

BUCKETS = 4_096
ID_BYTES = 16
_BUCKET_SHIFT = 4
"""Bits of the first two bytes of an id that are not the number of its bucket."""


class Existence(Enum):
    """What is known of a key."""

    EXISTS = auto()
    ABSENT = auto()
    UNCONFIRMED = auto()
    """It is not among the known ones, and may have been made since they were read."""


def id_of(tenant_id: str, key_id: str) -> bytes:
    """What stands for a key of a tenant."""
    return hashlib.sha256(f"{tenant_id}\0{key_id}".encode("utf-8", "replace")).digest()[:ID_BYTES]


@dataclass(frozen=True)
class KeyIds:
    """A set of ids of keys. Each bucket is the ids that begin with its number, in ascending order without gaps.

    `bucket_digests` tell buckets apart, 0 an empty one; no proof against who wants two to look the same. They are
    computed with the set, so that comparing costs the same however many keys there are.
    """

    buckets: tuple[bytes, ...] = (b"",) * BUCKETS
    bucket_digests: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.buckets) != BUCKETS:
            raise ValueError(f"{BUCKETS} buckets are needed, not {len(self.buckets)}")
        if not self.bucket_digests:
            object.__setattr__(self, "bucket_digests", tuple(map(_digest, self.buckets)))

    def __contains__(self, item: bytes) -> bool:
        bucket = self.buckets[bucket_of(item)]
        found = bucket.find(item)
        while found % ID_BYTES and found > 0:  # across the border of two ids
            found = bucket.find(item, found + 1)
        return found >= 0

    def __len__(self) -> int:
        return sum(map(len, self.buckets)) // ID_BYTES

    def with_ids(self, added: Iterable[bytes]) -> KeyIds:
        """The set with more ids; the same object when it has them all."""
        items = set(added)
        if len(items) > BUCKETS:  # nearly every bucket changes: quicker as a whole
            return self.from_bytes(b"".join(sorted(items.union(ids_in(self.to_bytes())))))
        return self._changed(items, set.update)

    def without_ids(self, removed: Iterable[bytes]) -> KeyIds:
        """The set without some ids."""
        return self._changed(removed, set.difference_update)

    def with_buckets(self, changed: Mapping[int, bytes]) -> KeyIds:
        """The set with other buckets in place of some; ValueError for a bucket that there cannot be."""
        if not all(0 <= index < BUCKETS and _fits(index, ids) for index, ids in changed.items()):
            raise ValueError("not a bucket of ids")
        return self._replaced(changed)

    def differing(self, digests: Sequence[int]) -> list[int]:
        """Numbers of the buckets with other digests than these."""
        known = digests if len(digests) == BUCKETS else [0] * BUCKETS
        return [
            index for index, (own, other) in enumerate(zip(self.bucket_digests, known, strict=True)) if own != other
        ]

    def changed_since(self, before: KeyIds) -> list[int]:
        """Numbers of the buckets that are not those of an earlier state of this set."""
        if before is self:
            return []
        pairs = zip(self.buckets, before.buckets, strict=True)
        return [index for index, (own, other) in enumerate(pairs) if own is not other]

    def sha256(self) -> str:
        """The digest that a gateway signs."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """All ids in ascending order."""
        return b"".join(self.buckets)

    @classmethod
    def from_bytes(cls, ids: bytes) -> KeyIds:
        """The set of ids that follow each other in ascending order; ValueError when the last is cut off."""
        if len(ids) % ID_BYTES:
            raise ValueError("the last id is cut off")
        places = range(0, len(ids), ID_BYTES)
        starts = [
            ID_BYTES * bisect_left(places, index, key=lambda start: bucket_of(ids[start : start + 2]))
            for index in range(BUCKETS + 1)
        ]
        return cls(tuple(ids[start:end] for start, end in pairwise(starts)))

    def _changed(self, ids: Iterable[bytes], change: Callable[[set[bytes], set[bytes]], None]) -> KeyIds:
        by_bucket: dict[int, set[bytes]] = defaultdict(set)
        for item in ids:
            by_bucket[bucket_of(item)].add(item)
        changed: dict[int, bytes] = {}
        for index, items in by_bucket.items():
            merged = set(ids_in(self.buckets[index]))
            change(merged, items)
            joined = b"".join(sorted(merged))
            if joined != self.buckets[index]:
                changed[index] = joined
        return self._replaced(changed) if changed else self

    def _replaced(self, changed: Mapping[int, bytes]) -> KeyIds:
        buckets, digests = list(self.buckets), list(self.bucket_digests)
        for index, ids in changed.items():
            buckets[index], digests[index] = ids, _digest(ids)
        return KeyIds(tuple(buckets), tuple(digests))


def _digest(ids: bytes) -> int:
    return int.from_bytes(hashlib.sha256(ids).digest()[:8]) if ids else 0


def bucket_of(item: bytes) -> int:
    """The number of the bucket of an id or a hash."""
    return int.from_bytes(item[:2]) >> _BUCKET_SHIFT


def ids_in(joined: bytes) -> list[bytes]:
    """The ids that follow each other."""
    return [joined[start : start + ID_BYTES] for start in range(0, len(joined), ID_BYTES)]


def _fits(index: int, ids: bytes) -> bool:
    """Whether these are whole ids, and the first and the last are the bucket's."""
    ends = (ids[:ID_BYTES], ids[-ID_BYTES:]) if ids else ()
    return len(ids) % ID_BYTES == 0 and all(bucket_of(item) == index for item in ends)
