"""Signed statements about which keys exist and which are revoked, and the copies that a service keeps on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from joserfc import jws
from joserfc.errors import JoseError
from pydantic import BaseModel, ConfigDict, ValidationError

from mesh.identity.key_ids import KeyIds
from mesh.identity.verifying import JWS_REGISTRY, key_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from joserfc.jwk import KeySet

TYPE = "soma-revocations"
KEYS_TYPE = "soma-api-keys"
_PRIVATE = 0o600


class Statement(BaseModel):
    """What the gateway signs: the digest of its set, and when it read the set, in seconds since 1970."""

    model_config = ConfigDict(frozen=True, strict=True)

    iss: str
    as_of: int
    sha256: str


class StatementReader:
    """Opens the statements of one type that gateways of an issuer signed."""

    def __init__(self, typ: str, jwks: Callable[[], KeySet], issuer: str) -> None:
        self._typ = typ
        self._jwks = jwks
        self._issuer = issuer

    def read(self, statement: str) -> Statement | None:
        """What is stated; None when no gateway signed this."""
        try:
            signed = jws.deserialize_compact(
                statement, lambda headed: key_for(self._jwks(), headed, (self._typ,)), registry=JWS_REGISTRY
            )
            content = Statement.model_validate_json(signed.payload)
        except (JoseError, ValidationError, ValueError, TypeError, LookupError):
            return None
        return content if content.iss == self._issuer else None


def expires_at_s(moment: datetime) -> int:
    """When a key expires, in whole seconds since 1970 as both sides of a statement count them."""
    return math.ceil(moment.timestamp())


def statement_of(revoked: Mapping[str, int], as_of: int) -> dict[str, object]:
    """The content of the statement on a set: key ids, and when they expire in seconds since 1970."""
    return {"as_of": as_of, "sha256": _digest(revoked, as_of)}


def statement_of_keys(ids: KeyIds, as_of: int) -> dict[str, object]:
    """The content of the statement on the keys that exist."""
    return {"as_of": as_of, "sha256": ids.sha256()}


@dataclass(frozen=True)
class StoredRevocations:
    """A set of revoked keys as a gateway stated it.

    `extra` holds keys that other gateways told of: refusing them needs no proof.
    """

    statement: str
    revoked: Mapping[str, int]
    extra: Mapping[str, int] = field(default_factory=dict)


class RevocationsFile:
    """The last set on disk. What is not stated by a gateway's signature is not believed."""

    def __init__(self, path: Path, jwks: Callable[[], KeySet], issuer: str) -> None:
        self._path = path
        self._statements = StatementReader(TYPE, jwks, issuer)

    def read(self) -> tuple[int, StoredRevocations] | None:
        """When the set was read by the gateway, and the set; None without a file that can be believed.

        OSError when the file is there and cannot be read.
        """
        try:
            found = json.loads(self._path.read_bytes())
            revoked, extra = ({str(key): int(found[name][key]) for key in found[name]} for name in ("revoked", "extra"))
            stored = StoredRevocations(str(found["statement"]), revoked, extra)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, LookupError):
            return None
        as_of = self.verified_as_of(stored.statement, stored.revoked)
        return None if as_of is None else (as_of, stored)

    def verified_as_of(self, statement: str, revoked: Mapping[str, int]) -> int | None:
        """When a gateway stated exactly this set; None when it did not."""
        content = self._statements.read(statement)
        if content is None or content.sha256 != _digest(revoked, content.as_of):
            return None
        return content.as_of

    def write(self, stored: StoredRevocations) -> None:
        """Put a set in place of the last, in one step; OSError when that cannot be done."""
        document = {"statement": stored.statement, "revoked": dict(stored.revoked), "extra": dict(stored.extra)}
        _replace(self._path, json.dumps(document).encode("ascii"))

    def remove(self) -> None:
        """Forget the last set; OSError when that cannot be done."""
        self._path.unlink(missing_ok=True)


class KeyIdsFile:
    """The ids of existing keys on disk, after the statement on them. Without it they are not believed."""

    def __init__(self, path: Path, jwks: Callable[[], KeySet], issuer: str) -> None:
        self._path = path
        self._statements = StatementReader(KEYS_TYPE, jwks, issuer)

    def read(self) -> tuple[int, KeyIds] | None:
        """When the ids were read by the gateway, and the ids; None without a file that can be believed.

        OSError when the file is there and cannot be read.
        """
        try:
            statement, _, stored = self._path.read_bytes().partition(b"\n")
            ids = KeyIds.from_bytes(stored)
        except (FileNotFoundError, ValueError):
            return None
        content = self._statements.read(statement.decode("ascii", "replace"))
        return None if content is None or content.sha256 != ids.sha256() else (content.as_of, ids)

    def write(self, statement: str, ids: KeyIds) -> bool:
        """Put ids in place of the last if a gateway stated exactly these; OSError when that cannot be done."""
        content = self._statements.read(statement)
        if content is None or content.sha256 != ids.sha256():
            return False
        _replace(self._path, statement.encode("ascii") + b"\n" + ids.to_bytes())
        return True


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place of the last in one step, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _digest(revoked: Mapping[str, int], as_of: int) -> str:
    """SHA-256 over the keys that have not expired, so that it does not matter when expired ones are dropped."""
    lines = [f"{key_id} {revoked[key_id]}\n" for key_id in sorted(revoked) if revoked[key_id] > as_of]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
