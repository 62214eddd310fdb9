"""The rules of the house find what they forbid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import house_rules
from tools.chassis_rules import foreign_contracts
from tools.plain_words import PLAIN, find_banned_words
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
    assert len(find_banned_words(source.format(word.title(), word))) == 1


@pytest.mark.parametrize("source", ["forward = 1", "embedded = bedrock", "rewards = 1", "'a bell'"])
def test_words_that_contain_one_and_texts_may_stay(source: str) -> None:
    assert find_banned_words(source) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from soma.selector.v1 import selector_service_pb2", "soma.selector.v1.selector_service_pb2"),
        ("import soma.registry.v1.capability_pb2 as pb", "soma.registry.v1.capability_pb2"),
        ("from soma.events.v1 import audit_pb2, facts_pb2", "soma.events.v1.facts_pb2"),
        ("from soma.gateway.v1.permission_service_pb2_grpc import A", "soma.gateway.v1.permission_service_pb2_grpc.A"),
        ("def f():\n    from soma import critic", "soma.critic"),
    ],
)
def test_the_chassis_imports_no_contract_of_a_context(source: str, module: str) -> None:
    assert foreign_contracts("mesh/rpc/client.py", source) == [module]
    assert foreign_contracts("svc_executor/rpc/client.py", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from soma.common.v1 import access_pb2",
        "from soma.events.v1.audit_pb2 import AuditRecorded",
        "import soma.events.v1.envelope_pb2",
        "from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub",
        "from mesh.events.event import Event",
    ],
)
def test_the_chassis_imports_the_platform_messages(source: str) -> None:
    assert foreign_contracts("mesh/chassis.py", source) == []
