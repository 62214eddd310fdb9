"""Identifiers and randomness: the only module that draws from the machine's entropy."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

_SEQUENCE_BITS = 12
_TAIL_BITS = 62
_FREE_BITS = ~(0xF << 76) & ~(0x3 << 62)
"""All bits but those of version and variant."""
_TIME_ORDERED = 7
"""Version of UUIDs that begin with the moment they were made."""
_ENTROPY_BYTES = 512
"""Drawn at once, because asking the system costs more than the rest of an id."""


class Ids(Protocol):
    """Source of new identifiers."""

    def new(self) -> str:
        """A new UUIDv7 in its usual text form."""


class SystemIds:
    """UUIDv7 (RFC 9562) from the wall clock, strictly increasing within one instance, safe between threads.

    The 12 bits after the millisecond are a counter; when it overflows, the millisecond is advanced instead.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._entropy = b""

    def new(self) -> str:
        """A new UUIDv7."""
        with self._lock:
            stamp = (time.time_ns() // 1_000_000) << _SEQUENCE_BITS
            self._last = max(stamp, self._last + 1)
            if not self._entropy:
                self._entropy = os.urandom(_ENTROPY_BYTES)
            drawn, self._entropy = self._entropy[:8], self._entropy[8:]
            return _uuid7(self._last, int.from_bytes(drawn, "big"))


def derive(*parts: str) -> str:
    """The same UUIDv8 for the same parts, always: an id for work that may be retried."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return _text(int.from_bytes(digest.digest()[:16], "big"), 8)


def made_at(id_: str) -> datetime | None:
    """When a UUIDv7 was made, to the millisecond; None for any other id."""
    try:
        made = UUID(id_)
        return datetime.fromtimestamp((made.int >> 80) / 1_000, UTC) if made.version == _TIME_ORDERED else None
    except (ValueError, OverflowError):
        return None


def rng(seed: int | None = None) -> random.Random:
    """A generator to inject where chance is wanted (sampling, jitter, exploration); not for secrets."""
    return random.Random(seed)  # noqa: S311


def _uuid7(ordered: int, entropy: int) -> str:
    milliseconds, sequence = ordered >> _SEQUENCE_BITS, ordered & ((1 << _SEQUENCE_BITS) - 1)
    tail = entropy & ((1 << _TAIL_BITS) - 1)
    return _text((milliseconds << 80) | (sequence << 64) | tail, 7)


def _text(value: int, version: int) -> str:
    """128 bits in their usual form, with version and variant of RFC 9562; `uuid.UUID` takes four times as long."""
    value = value & _FREE_BITS | (version << 76) | (0x2 << 62)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
