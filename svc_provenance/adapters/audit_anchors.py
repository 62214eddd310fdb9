"""Anchors in the blob store, and signatures by a key of the secret store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from mesh.errors import Reason, SomaError
from svc_provenance.context import AUDIT_KEY
from svc_provenance.domain.audit import (
    ChainPosition,
    SignedStatement,
    Statement,
    canonical_json,
    from_base64url,
    parse_time,
    statement_bytes,
    statement_members,
    to_base64url,
)
from svc_provenance.domain.tenant_scope import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.clock import Clock
    from mesh.secrets import Transit
    from mesh.stores.blobs import Blobs

_PAGE = 1_000
_SEQUENCE = re.compile(r"/(\d{19})\.json$")
_SAFE_IN_A_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DIGEST_BYTES = 32
_INT64 = 2**63


class _StatementFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    statement: str
    chain: str
    sequence: int
    digest: str
    create_time: str


class _AnchorFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: _StatementFile
    key_version: int
    signature: str


class BlobAnchorStore:
    """`AnchorStore` as files `audit/<chain>/<sequence>.json`, each written once."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def sequences(self, chain: str, first: int, limit: int) -> Sequence[int]:
        """Lists from `first` on where the store is ordered, and otherwise everything, a page at a time."""
        found: list[int] = []
        after = _key(chain, first - 1) if first > 0 else ""
        async for page in self._blobs.pages(after, _PAGE, prefix=_folder(chain)):
            sequences = (_sequence(chain, blob.key) for blob in page)
            found = sorted([*found, *(each for each in sequences if each is not None and each >= first)])[:limit]
            if self._blobs.is_ordered and len(found) == limit:
                break
        return found

    async def read(self, chain: str, sequence: int) -> SignedStatement | None:
        try:
            content = await self._blobs.read(_key(chain, sequence))
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return _signed(content)

    async def put(self, anchor: SignedStatement) -> bool:
        signature = canonical_json(
            {
                "key_version": anchor.key_version,
                "signature": to_base64url(anchor.signature),
            }
        )
        statement = canonical_json(
            statement_members(Statement.ANCHOR, anchor.chain, anchor.position, anchor.created_at)
        )
        content = b'{"anchor":' + statement + b"," + signature[1:] + b"\n"
        return await self._blobs.put_new(_key(anchor.chain, anchor.position.sequence), content)


class TransitStatementSigner:
    """`StatementSigner` by a Transit key, which never leaves the secret store."""

    def __init__(self, transit: Transit, clock: Clock, key: str = AUDIT_KEY) -> None:
        self._transit = transit
        self._clock = clock
        self._key = key

    async def sign(self, kind: Statement, chain: str, position: ChainPosition) -> SignedStatement:
        version = max(await self._transit.public_keys(self._key))
        now = self._clock.now()
        signature = await self._transit.sign(self._key, statement_bytes(kind, chain, position, now), version)
        return SignedStatement(chain, position, now, version, signature)

    async def public_keys(self) -> Mapping[int, bytes]:
        return await self._transit.public_keys(self._key)

    def is_genuine(self, kind: Statement, signed: SignedStatement, keys: Mapping[int, bytes]) -> bool:
        raw = keys.get(signed.key_version)
        if raw is None:
            return False
        statement = statement_bytes(kind, signed.chain, signed.position, signed.created_at)
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signed.signature, statement)
        except InvalidSignature:
            return False
        return True


def _signed(content: bytes) -> SignedStatement | None:
    try:
        file = _AnchorFile.model_validate_json(content)
        position = ChainPosition(file.anchor.sequence, bytes.fromhex(file.anchor.digest))
        created_at = parse_time(file.anchor.create_time)
        signature = from_base64url(file.signature)
    except (ValidationError, ValueError):
        return None
    if file.anchor.statement != Statement.ANCHOR or len(position.digest) != _DIGEST_BYTES:
        return None
    return SignedStatement(file.anchor.chain, position, created_at, file.key_version, signature)


def _folder(chain: str) -> str:
    """Returns the folder of a chain; no two chains have the same."""
    if chain == PLATFORM:
        return "audit/platform"
    return f"audit/tenant-{chain}" if _SAFE_IN_A_KEY.fullmatch(chain) else f"audit/tenant={chain.encode().hex()}"


def _key(chain: str, sequence: int) -> str:
    return f"{_folder(chain)}/{sequence:019d}.json"


def _sequence(chain: str, key: str) -> int | None:
    """Returns the sequence in an anchor's key; None for a key of something else."""
    found = _SEQUENCE.search(key)
    sequence = int(found[1]) if found else None
    return sequence if sequence is not None and sequence < _INT64 and key == _key(chain, sequence) else None
