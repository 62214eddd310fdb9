"""Entries of an audit chain, their canonical form and digests, and signed statements about a chain.

docs/audit.md describes the same for those who verify an export with a program of their own.
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

ROOT_DIGEST = bytes(32)
"""The digest that the first entry follows."""


class Decision(StrEnum):
    """What was decided about an action."""

    UNSPECIFIED = "UNSPECIFIED"
    ALLOWED = "ALLOWED"
    DENIED = "DENIED"


@dataclass(frozen=True)
class AuditAction:
    """What was done, by whom, to what. Texts as contexts reported them, `reason` redacted, `decision` a `Decision`."""

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
    """An entry with its digest and that of the entry before."""

    entry: Entry
    previous_digest: bytes
    digest: bytes

    @property
    def position(self) -> ChainPosition:
        """The position of this entry in its chain."""
        return ChainPosition(self.entry.sequence, self.digest)


@dataclass(frozen=True)
class ChainPosition:
    """A position in a chain: the sequence and the digest of the entry there."""

    sequence: int
    digest: bytes


EMPTY_CHAIN = ChainPosition(0, ROOT_DIGEST)


class Statement(StrEnum):
    """What a signature states. Distinct, so that one statement is never taken for another."""

    ANCHOR = "soma.audit.anchor.v1"
    """The entry of this sequence has this digest."""
    START = "soma.audit.start.v1"
    """The entries up to this sequence were dropped by retention; the last of them had this digest."""


@dataclass(frozen=True)
class SignedStatement:
    """A signed statement about a chain: `signature` is Ed25519 over `statement_bytes`."""

    chain: str
    position: ChainPosition
    created_at: datetime
    key_version: int
    signature: bytes


AUDIT_ACTION_FIELDS = tuple(field.name for field in fields(AuditAction))


def entry_members(entry: Entry) -> Mapping[str, str | int]:
    """Returns the members of an entry's canonical form."""
    return {
        "chain": entry.chain,
        "sequence": entry.sequence,
        "audit_id": entry.audit_id,
        "occur_time": format_time(entry.occurred_at),
        "record_time": format_time(entry.recorded_at),
        **asdict(entry.audit_action),
    }


def canonical_json(members: Mapping[str, str | int]) -> bytes:
    """Returns RFC 8785 JSON; names are ASCII, values are texts and integers below 2^53."""
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def entry_digest(previous: bytes, entry: Entry) -> bytes:
    """Returns SHA-256 of the previous digest (32 bytes) and the entry's canonical form."""
    return hashlib.sha256(previous + canonical_json(entry_members(entry))).digest()


def link_entry(head: ChainPosition, entry: Entry) -> ChainedEntry:
    """Returns the entry behind the head of its chain; ValueError when its sequence is not the next."""
    if entry.sequence != head.sequence + 1:
        raise ValueError(f"entry {entry.sequence} does not follow {head.sequence}")
    return ChainedEntry(entry, head.digest, entry_digest(head.digest, entry))


def statement_members(
    kind: Statement, chain: str, position: ChainPosition, created_at: datetime
) -> Mapping[str, str | int]:
    """Returns the members of a statement's canonical form."""
    return {
        "statement": kind.value,
        "chain": chain,
        "sequence": position.sequence,
        "digest": position.digest.hex(),
        "create_time": format_time(created_at),
    }


def statement_bytes(kind: Statement, chain: str, position: ChainPosition, created_at: datetime) -> bytes:
    """Returns the bytes that are signed."""
    return canonical_json(statement_members(kind, chain, position, created_at))


def format_time(time: datetime) -> str:
    """Returns RFC 3339 in UTC, always with six digits of the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def parse_time(text: str) -> datetime:
    """Parses what `format_time` returns; ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def to_base64url(data: bytes) -> str:
    """Returns base64url without padding, as in JWS."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decodes what `to_base64url` returns; ValueError for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
