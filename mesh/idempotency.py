"""What makes a call idempotent: the id that its caller chose, and a digest of what it asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mesh.errors import Reason, SomaError

_FORM = "02"
"""Version of the digests that `RequestKey.for_request` makes, in two hexadecimal digits; they start with it."""
_LENGTH = len(_FORM) + 2 * hashlib.sha256().digest_size


@dataclass(frozen=True)
class RequestKey:
    """Names a request, so that a repeat is known. With an empty `request_id` it is not kept: each call is a new one.

    A store keeps the key in the transaction of what the request writes: either both are there or neither is. A repeat
    is answered by what the first one wrote. `digest` is of the request as it was received, in hexadecimal digits.
    """

    request_id: str = ""
    digest: str = ""

    @classmethod
    def for_request(cls, request_id: str, *parts: bytes) -> RequestKey:
        """Returns the key of a request that consists of these parts."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(request_id, _FORM + digest.hexdigest())

    def require_same(self, recorded: str) -> None:
        """IDEMPOTENCY_MISMATCH when the id was used for another request, whose digest was recorded.

        A digest of another form was recorded by an earlier version; as it cannot be compared, the id alone counts.
        """
        comparable = len(recorded) == _LENGTH and recorded.startswith(_FORM)
        if comparable and recorded != self.digest:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "request_id: it was used with another body; take a new one")


NO_KEY = RequestKey()
"""Of a call whose caller gave no request id."""
