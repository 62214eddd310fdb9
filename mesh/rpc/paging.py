"""Page tokens."""

from __future__ import annotations

from uuid import UUID

from mesh.errors import invalid


def id_token(token: str, field: str = "page_token") -> str:
    """A page token that is the last id of the page before; INVALID_ARGUMENT when it cannot be one."""
    try:
        return str(UUID(token)) if token else ""
    except ValueError:
        raise invalid(field, "must be the next_page_token of the page before") from None
