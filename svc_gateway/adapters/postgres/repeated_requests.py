"""Rows that an earlier request with the same request id wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.idempotency import RequestKey


def require_same_request(row: Mapping[str, object], request: RequestKey) -> dict[str, object]:
    """Returns the row that the same request wrote before; IDEMPOTENCY_MISMATCH when that request had another body."""
    request.require_same(str(row["request_digest"]))
    return dict(row)
