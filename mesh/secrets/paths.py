"""Which paths name a place in a secret store."""

from __future__ import annotations

import re

from mesh.errors import invalid

_SEGMENT = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")
_MAX_CHARACTERS = 500


def require_path(path: str) -> str:
    """Returns the path when each of its segments is a plain name; INVALID_ARGUMENT for any other.

    A segment that is empty, begins with a dot, or holds a percent sign, a backslash or a control character could name
    another place than it seems to: clients and servers resolve such segments, each in its own way.
    """
    if len(path) > _MAX_CHARACTERS or not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise invalid("path", "is not a valid path in the secret store")
    return path
