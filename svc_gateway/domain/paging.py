"""Page tokens: where the last page ended, in a form that callers do not take apart."""

from __future__ import annotations

import base64
import binascii

from mesh.errors import invalid

DEFAULT_SIZE = 50


def size(asked: int) -> int:
    """Entries of a page."""
    return asked or DEFAULT_SIZE


def token(last: str) -> str:
    """The token of the page after the entry with this id."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def last_of(page_token: str) -> str:
    """The id within a token, empty for none; INVALID_ARGUMENT for one that was not made here."""
    try:
        last = base64.b64decode(page_token + "=" * (-len(page_token) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise invalid("page_token", "use the next_page_token of the page before") from None
    if not last.isprintable():
        raise invalid("page_token", "use the next_page_token of the page before")
    return last
