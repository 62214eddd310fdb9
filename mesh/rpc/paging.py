"""Sizes of pages, and the tokens of the next ones."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, cast
from uuid import UUID

from mesh.clock import EPOCH
from mesh.errors import invalid

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

DEFAULT_PAGE_SIZE = 50
"""Entries of a page for whoever asks for no number."""
_MICROSECOND = timedelta(microseconds=1)
_NOT_OURS = "must be the next_page_token of the page before"


class PageRequest(Protocol):
    """A request message for a page; what it holds beside `page_size` and `page_token` are filters."""

    page_size: int
    page_token: str


def page_size(request: PageRequest) -> int:
    """How many entries a page may have; the contract bounds what may be asked for."""
    return request.page_size or DEFAULT_PAGE_SIZE


def page_token_id(token: str, field: str = "page_token") -> str:
    """A page token that is the last id of the page before; INVALID_ARGUMENT when it cannot be one."""
    try:
        return str(UUID(token)) if token else ""
    except ValueError:
        raise invalid(field, _NOT_OURS) from None


def cursor_token(request: PageRequest, place: str) -> str:
    """The token of the page after `place`, good for the list and the filters of this request alone."""
    return f"{place}.{_filters(request)}"


def cursor_of(request: PageRequest) -> str:
    """Where the page before ended, "" for the first page; INVALID_ARGUMENT for a token that is not of these filters."""
    if not request.page_token:
        return ""
    place, _, filters = request.page_token.rpartition(".")
    if not place:
        raise invalid("page_token", _NOT_OURS)
    if filters != _filters(request):
        raise invalid("page_token", "belongs to other filters; ask with the filters of the page before")
    return place


def time_cursor_token(request: PageRequest, moment: datetime, id_: str) -> str:
    """The token of the page after an entry, where entries are ordered by a moment (to the microsecond) and an id."""
    return cursor_token(request, f"{(moment - EPOCH) // _MICROSECOND}.{id_}")


def time_cursor_of(request: PageRequest) -> tuple[datetime, str] | None:
    """The moment and the id at which the page before ended; None for the first page."""
    place = cursor_of(request)
    if not place:
        return None
    micros, _, id_ = place.partition(".")
    try:
        return EPOCH + int(micros) * _MICROSECOND, str(UUID(id_))
    except (ValueError, OverflowError):
        raise invalid("page_token", _NOT_OURS) from None


def _filters(request: PageRequest) -> str:
    message = cast("Message", request)
    plain = type(message)()
    plain.CopyFrom(message)
    plain.ClearField("page_token")
    plain.ClearField("page_size")
    named = message.DESCRIPTOR.full_name.encode() + plain.SerializeToString(deterministic=True)
    return hashlib.sha256(named).hexdigest()[:16]
