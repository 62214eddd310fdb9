"""Lists of `soma` whose pages end before they are full."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from soma_cli.listing import read_list

if TYPE_CHECKING:
    from soma_cli.client import EdgeClient


class Edge:
    """Answers with the given pages in turn, and remembers what was asked."""

    def __init__(self, *pages: list[str]) -> None:
        self._pages = list(enumerate(pages, 1))
        self.paths: list[str] = []

    def get_json(self, path: str) -> str:
        self.paths.append(path)
        number, page = self._pages.pop(0)
        return json.dumps({"letters": page, "next_page_token": f"t{number}" if self._pages else ""})

    def listed(self, limit: int) -> dict[str, object]:
        client = cast("EdgeClient", self)
        found: dict[str, object] = json.loads(read_list(client, "/v1/letters", "letters", {"state": "S"}, limit))
        return found


def test_pages_are_read_until_there_is_enough() -> None:
    edge = Edge([], ["a", "b"], ["c"], ["d"])
    assert edge.listed(3) == {"letters": ["a", "b", "c"], "next_page_token": "t3"}
    assert edge.paths == [
        "/v1/letters?page_size=3&state=S",
        "/v1/letters?page_size=3&state=S&page_token=t1",
        "/v1/letters?page_size=1&state=S&page_token=t2",
    ]


@pytest.mark.parametrize("pages", [[[]], [["a"], []]])
def test_the_end_of_the_list_is_the_end(pages: list[list[str]]) -> None:
    edge = Edge(*pages)
    assert edge.listed(3) == {"letters": [each for page in pages for each in page], "next_page_token": ""}
    assert len(edge.paths) == len(pages)
