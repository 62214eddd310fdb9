"""Reads lists whose pages may be shorter than the page size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_cli.client import EdgeClient

_PAGE_TOKEN_FIELD = "next_page_token"  # noqa: S105 - a field's name


def read_list(client: EdgeClient, path: str, field: str, query: Mapping[str, str], limit: int) -> str:
    """Returns the first `limit` entries of a list as the JSON of one page; with fewer, the list has no more.

    A page of a filtered list may end before it is full: the next ones are read until there are enough entries.
    """
    merged: dict[str, Any] = {field: []}
    token = ""
    while True:
        page_size = limit - len(merged[field])
        query_params = {"page_size": str(page_size), **query} | ({"page_token": token} if token else {})
        page = json.loads(client.get_json(f"{path}?{urlencode(query_params)}"))
        merged = page | {field: [*merged[field], *page.get(field, ())]}
        token = page.get(_PAGE_TOKEN_FIELD, "")
        if not token or len(merged[field]) >= limit:
            return json.dumps(merged, ensure_ascii=False)
