"""Lists by pages that may be shorter than what was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_cli.client import EdgeClient

_TOKEN = "next_page_token"  # noqa: S105 - a field's name


def first_page(client: EdgeClient, path: str, field: str, query: Mapping[str, str], limit: int) -> str:
    """The first `limit` entries of a list as the JSON of one answer; with fewer, the list has no more.

    A page of a filtered list may end before it is full: the next ones are read until there are enough entries.
    """
    found: dict[str, Any] = {field: []}
    token = ""
    while True:
        page_size = limit - len(found[field])
        query_params = {"page_size": str(page_size), **query} | ({"page_token": token} if token else {})
        page = json.loads(client.raw(f"{path}?{urlencode(query_params)}"))
        found = page | {field: [*found[field], *page.get(field, ())]}
        token = page.get(_TOKEN, "")
        if not token or len(found[field]) >= limit:
            return json.dumps(found, ensure_ascii=False)
