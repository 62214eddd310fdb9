"""Each context is released by itself, and what would break its clients is found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tools.released import PLATFORM, Contract, check, contracts, image, record_release, release, released, write_index

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The contracts in a tree of their own."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    for name in ("buf.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def at(tree: Path, version: str) -> None:
    """Say that the critic was released with another version than it has."""
    critic = released(tree)["critic"]
    write_index(tree, released(tree) | {"critic": replace(critic, version=version)})


def test_every_context_and_the_platform_were_released() -> None:
    assert set(released(ROOT)) == {contract.name for contract in contracts(ROOT)}
    assert {file.stem for file in (ROOT / "protos" / "released").glob("*.binpb")} == set(released(ROOT))


def test_a_removed_field_breaks_the_context_that_has_it_and_no_other(tree: Path) -> None:
    file = tree / "protos" / "soma" / "critic" / "v1" / "rubric.proto"
    lines = file.read_text().splitlines()
    field = next(line for line in lines if line.strip().endswith(" = 2;"))
    file.write_text("\n".join(line for line in lines if line != field))
    problems = check(tree)
    assert problems
    assert [
        problem for problem in problems if not problem.endswith(f"(critic {released(tree)['critic'].version})")
    ] == []


def test_a_removed_file_breaks_its_context(tree: Path) -> None:
    (tree / "protos" / "soma" / "executor" / "v1" / "plan_service.proto").unlink()
    [problem] = check(tree)
    assert "soma/executor/v1/plan_service.proto" in problem
    assert problem.endswith(f"was deleted. (executor {released(tree)['executor'].version})")


def test_a_context_is_released_once_for_each_version(tree: Path) -> None:
    before = image(tree, "critic").read_bytes()
    current = released(tree)["critic"].version
    assert release(tree, ["critic"]) == [
        f"critic {current} was released already: raise `version` in svc_critic/context.py"
    ]
    assert image(tree, "critic").read_bytes() == before
    at(tree, "0.0.1")
    assert release(tree, ["critic"]) == []
    assert released(tree)["critic"].version == current
    assert release(tree, []) == []


def test_releasing_one_context_leaves_the_others_as_they_are(tree: Path) -> None:
    others = {name: image(tree, name).read_bytes() for name in released(tree) if name != "critic"}
    at(tree, "0.0.1")
    assert release(tree, []) == []
    assert {name: image(tree, name).read_bytes() for name in others} == others


def test_an_unknown_context_is_refused_with_those_that_are_known(tree: Path) -> None:
    [problem] = release(tree, ["nowhere"])
    assert problem.startswith("nowhere is no context; there are: platform, assets")


def test_the_first_release_of_a_context_is_compared_from_then_on(tree: Path) -> None:
    image(tree, PLATFORM).unlink()
    record_release(tree, Contract(PLATFORM, "9.9.9", ("soma.common.v1",)))
    assert released(tree)[PLATFORM].version == "9.9.9"
    assert check(tree) == []
