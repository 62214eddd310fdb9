"""Entries of an audit chain, the one form of each that its digest is made of, and signed statements about a chain.

docs/audit.md tells the same for those who verify an export with a program of their own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = bytes(32)
"""Digest before the first entry."""


class Decision(StrEnum):
    """What was decided about an action."""

    UNSPECIFIED = "UNSPECIFIED"
    ALLOWED = "ALLOWED"
    DENIED = "DENIED"


@dataclass(frozen=True)
class AuditAction:
    """What was done, by whom, to what. Texts as the contexts told them, `reason` redacted, `decision` a `Decision`."""

    action: str
    context: str
    subject: str
    actor: str
    resource_type: str
    resource_id: str
    decision: str
    policy_id: str
    before_digest: str
    after_digest: str
    trace_id: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One entry of a chain: the tenant's, or the platform's (`PLATFORM`)."""

    chain: str
    sequence: int
    audit_id: str
    occurred_at: datetime
    recorded_at: datetime
    audit_action: AuditAction


@dataclass(frozen=True)
class ChainedEntry:
    """An entry in its place."""

    entry: Entry
    previous_digest: bytes
    digest: bytes

    @property
    def end(self) -> ChainPosition:
        """The chain up to here."""
        return ChainPosition(self.entry.sequence, self.digest)


@dataclass(frozen=True)
class ChainPosition:
    """A chain up to one of its entries: that entry's place and digest."""

    sequence: int
    digest: bytes


EMPTY = ChainPosition(0, ROOT)


class Statement(StrEnum):
    """What a signature says of a chain. Distinct, so that one never stands for the other."""

    ANCHOR = "soma.audit.anchor.v1"
    """The entry of this place has this digest."""
    START = "soma.audit.start.v1"
    """What came up to this place was dropped when it was old; the last of it had this digest."""


@dataclass(frozen=True)
class SignedStatement:
    """A signed statement about a chain: `signature` is Ed25519 over `statement_bytes`."""

    chain: str
    end: ChainPosition
    created_at: datetime
    key_version: int
    signature: bytes


AUDIT_ACTION_FIELDS = tuple(item.name for item in fields(AuditAction))


def form(entry: Entry) -> Mapping[str, str | int]:
    """The members of an entry's canonical form."""
    return {
        "chain": entry.chain,
        "sequence": entry.sequence,
        "audit_id": entry.audit_id,
        "occur_time": time_text(entry.occurred_at),
        "record_time": time_text(entry.recorded_at),
        **asdict(entry.audit_action),
    }


def canonical(members: Mapping[str, str | int]) -> bytes:
    """RFC 8785 of an object whose names are ASCII and whose values are texts and whole numbers below 2^53."""
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(previous: bytes, entry: Entry) -> bytes:
    """SHA-256 of the digest before (32 bytes) and the entry's canonical form."""
    return hashlib.sha256(previous + canonical(form(entry))).digest()


def link(end: ChainPosition, entry: Entry) -> ChainedEntry:
    """The entry behind the end of its chain; ValueError when its place is another."""
    if entry.sequence != end.sequence + 1:
        raise ValueError(f"entry {entry.sequence} does not follow {end.sequence}")
    return ChainedEntry(entry, end.digest, digest(end.digest, entry))


def statement_form(kind: Statement, chain: str, end: ChainPosition, created_at: datetime) -> Mapping[str, str | int]:
    """The members of a statement."""
    return {
        "statement": kind.value,
        "chain": chain,
        "sequence": end.sequence,
        "digest": end.digest.hex(),
        "create_time": time_text(created_at),
    }


def statement_bytes(kind: Statement, chain: str, end: ChainPosition, created_at: datetime) -> bytes:
    """What is signed."""
    return canonical(statement_form(kind, chain, end, created_at))


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC, always with six digits of the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def time_of(text: str) -> datetime:
    """The moment of such a text; ValueError for another."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def to_base64url(data: bytes) -> str:
    """Base64url without padding, as in JWS."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of such a text; ValueError for another."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
