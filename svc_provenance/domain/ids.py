"""Ids in requests and events."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Returns whether a text is a UUID in its usual form."""
    return _UUID.fullmatch(text) is not None
