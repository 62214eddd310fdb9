"""The rules of the house find what they forbid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import house_rules
from tools.plain_words import PLAIN, metaphors
from tools.task_rules import bare_tasks

if TYPE_CHECKING:
    from pathlib import Path

# Put together here, since the rules read this file too.
PLANTED = [
    "".join(parts)
    for parts in (("py", "pi.", "org"), ("files.python", "hosted.", "org"), ("registry.", "npmjs.", "org"))
]


@pytest.mark.parametrize("host", PLANTED)
def test_a_package_index_is_found_by_its_host(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    file = tmp_path / "notes.md"
    file.write_text(f"Taken from https://{host}/simple/, last week.")
    assert house_rules.problems(file) == ["notes.md names a package index"]


def test_other_hosts_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    file = tmp_path / "notes.md"
    file.write_text("See https://www.w3.org/TR/prov-dm/ and mesh.rpc.paging.")
    assert house_rules.problems(file) == []


@pytest.mark.parametrize(
    "path",
    [
        "/".join(("", "home", "alice", "mesh", "main.py")),
        "/".join(("", "Users", "alice", ".ssh")),
        "/".join(("", "root", "mesh")),
        "/".join(("file://", "home", "alice", "x")),
        "\\".join(("C:", "Users", "alice")),
        "\\\\".join(("C:", "Users", "alice")),
    ],
)
def test_a_path_of_somebodys_machine_is_found(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    file = tmp_path / "notes.md"
    file.write_text(f'The log is in "{path}", as it was yesterday.')
    assert house_rules.problems(file) == ["notes.md names a path of somebody's machine"]


@pytest.mark.parametrize(
    "path", ["/home/", "/root/", "/usr/bin/python3", "{root}/home/a/b", "https://soma.example/home/a/b", "~/home/a/b"]
)
def test_paths_that_are_everywhere_may_be_named(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_rules, "ROOT", tmp_path)
    file = tmp_path / "notes.md"
    file.write_text(f'The log is in "{path}".')
    assert house_rules.problems(file) == []


@pytest.mark.parametrize(
    "call",
    [
        "asyncio.create_task(work())",
        "asyncio.ensure_future(work())",
        "create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "loop.create_task(work())",
    ],
)
def test_a_task_that_nobody_watches_is_found(call: str) -> None:
    text = f"class Feed:\n    async def begin(self):\n        self.task = {call}\n"
    assert bare_tasks("svc_x/feed.py", text) == ["svc_x/feed.py Feed.begin"]
    assert bare_tasks("tests/feed.py", text) == []


def test_a_task_of_a_group_is_watched_by_it() -> None:
    text = "async def run():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(work())\n"
    assert bare_tasks("mesh/feed.py", text) == []


@pytest.mark.parametrize(
    "source",
    ["class DeadLetter{0}: ...", "def apply_{1}(): ...", "def apply({1}): ...", "_{1} = 3", "self.{1}_id = 1"],
)
def test_a_metaphor_in_a_name_is_found(source: str) -> None:
    word = min(PLAIN)
    assert len(metaphors(source.format(word.title(), word))) == 1


@pytest.mark.parametrize("source", ["forward = 1", "embedded = bedrock", "rewards = 1", "'a bell'"])
def test_words_that_contain_one_and_texts_may_stay(source: str) -> None:
    assert metaphors(source) == []
