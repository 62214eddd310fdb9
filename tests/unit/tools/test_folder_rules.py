"""A folder of tests that is named after no code is found."""

from __future__ import annotations

import pytest

from tools import house_rules
from tools.folder_rules import STAGES, misnamed_folders

PRODUCT = [
    "mesh/events/kafka/bus.py",
    "mesh/resilience.py",
    "svc_executor/domain/job.py",
    "tools/sizes.py",
    "clients/python/client.py",
    "tests/bench/__init__.py",
    "tests/unit/__init__.py",
    "README.md",
]


def misnamed(*tests: str) -> list[str]:
    return misnamed_folders([*PRODUCT, *tests])


@pytest.mark.parametrize(
    "test",
    [
        "tests/unit/executor/test_job.py",
        "tests/unit/executor/jobs/test_cancelling.py",
        "tests/integration/mesh/test_start.py",
        "tests/integration/mesh/events/kafka/test_commits.py",
        "tests/integration/mesh/resilience/test_breaker.py",
        "tests/unit/tools/test_sizes.py",
        "tests/unit/bench/test_figures.py",
        "tests/chaos/contexts/messages/test_messages.py",
        "tests/e2e/test_jobs.py",
        "tests/test_suite.py",
        "tests/clients/python/test_client.py",
        "tests/scenarios/money.py",
        "tests/unit/executor/golden/small.md",
        "tests/unit/multimodal/golden/small.md",
        "tests/unit/multimodal/test_plan_compiler.py",
        "tests/e2e/multimodal/__init__.py",
        "tests/chaos/multimodal/test_resume.py",
    ],
)
def test_a_test_of_a_package_may_stand_in_its_folder(test: str) -> None:
    assert misnamed(test) == []


@pytest.mark.parametrize(
    ("test", "folder"),
    [
        ("tests/unit/multimodal/test_job.py", "tests/unit/multimodal"),
        ("tests/unit/multimodal/plans.py", "tests/unit/multimodal"),
        ("tests/unit/multimodal/test_plan_compilers.py", "tests/unit/multimodal"),
        ("tests/unit/svc_executor/test_job.py", "tests/unit/svc_executor"),
        ("tests/chaos/events/test_outbox.py", "tests/chaos/events"),
        ("tests/unit/mesh/consumer/test_batches.py", "tests/unit/mesh/consumer"),
        ("tests/unit/mesh/kafka/test_commits.py", "tests/unit/mesh/kafka"),
        ("tests/unit/tests/test_job.py", "tests/unit/tests"),
        ("tests/unit/unit/test_job.py", "tests/unit/unit"),
        ("tests/units/executor/test_job.py", "tests/units/executor"),
    ],
)
@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_folder_that_names_no_package_is_found_in_every_stage(test: str, folder: str, stage: str) -> None:
    there = test.replace("tests/unit/", f"tests/{stage}/"), folder.replace("tests/unit/", f"tests/{stage}/")
    assert misnamed(there[0]) == [there[1]]


def test_a_folder_is_named_once() -> None:
    assert misnamed("tests/unit/local/test_a.py", "tests/unit/local/test_b.py", "tests/unit/audit/test_c.py") == [
        "tests/unit/audit",
        "tests/unit/local",
    ]


def test_the_house_rules_name_such_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = [house_rules.ROOT / name for name in (*PRODUCT, "tests/unit/multimodal/test_job.py")]
    monkeypatch.setattr(house_rules, "files", lambda: planted)
    monkeypatch.setattr(house_rules, "problems", lambda _: [])
    assert house_rules.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "tests/unit/multimodal names no package that is tested",
        "house rules: 1 problems",
    ]
