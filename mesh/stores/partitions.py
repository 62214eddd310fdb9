"""Tables that are cut by month, the month taken from an id.

A UUIDv7 holds the moment it was made, so the month of a row follows from the id of the thing it belongs to: all rows of
a thing are in one part, and an upsert finds the part again without knowing when it was written first.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_FIRST, _END = "00dc6acf", "0699e991"
"""Leading digits of ids of the years 2000 to 2199; a moment beyond them is a made-up id's."""

UNKNOWN = date(1970, 1, 1)
"""Month of ids that hold no moment; their rows are in the default part."""


def month_of(id_: str) -> date:
    """First day of the month in which a UUIDv7 was made; `UNKNOWN` for other ids. The same as SQL's soma_month_of."""
    if not _UUID7.fullmatch(id_) or not _FIRST <= id_[:8] < _END:
        return UNKNOWN
    milliseconds = int(id_[:8] + id_[9:13], 16)
    return datetime.fromtimestamp(milliseconds // 1000, UTC).date().replace(day=1)
