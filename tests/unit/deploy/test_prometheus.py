"""The rules and alerts for Prometheus: they fire when they should, and speak of what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.unit.test_docs import created, documented

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
FOREIGN_ROW = re.compile(r"^\| `([a-z_]+)` \| (?:Envoy|Temporal|Prometheus) \|", re.MULTILINE)
NOT_METRICS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\b(?:by|without|on|ignoring) \([^)]*\)")
NAME = re.compile(r"(?<![\w:.])([a-z_][a-z0-9_]*(?::[a-z0-9_]+)?)\b(?!\s*\()")
WORDS = {"by", "or", "and", "unless", "on", "bool", "offset"}
INCREASE = re.compile(r"increase\(([a-z_]+)((?:\{[^}]*\})?)\[(\w+)\]\)")
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
SEVERITIES = {"warning", "critical"}


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = rules("alerts.yml")
RECORDED = rules("rules.yml")


def metrics(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    names = set(NAME.findall(NOT_METRICS.sub(" ", expression)))
    return names - WORDS


def promtool() -> str:
    """The program, where it is present."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; Debian's package prometheus has it")
    return found


def test_rules_and_alerts_pass_their_own_tests() -> None:
    files = sorted(str(path) for path in (FOLDER / "tests").glob("*.yml"))
    run = subprocess.run(
        [promtool(), "test", "rules", *files], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_example_configuration_is_valid() -> None:
    command = [promtool(), "check", "config", str(FOLDER / "prometheus.yml")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_false_rule_fails_its_test(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "prometheus")
    alerts = tmp_path / "prometheus" / "alerts.yml"
    alerts.write_text(alerts.read_text().replace("outbox_lag_seconds > 60", "outbox_lag_seconds > 6000"))
    command = [promtool(), "test", "rules", str(tmp_path / "prometheus" / "tests" / "alerts_test.yml")]
    assert subprocess.run(command, capture_output=True, check=False, timeout=300).returncode != 0


@pytest.mark.parametrize("rule", [*RECORDED, *ALERTS], ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_of_a_rule_exists(rule: dict[str, Any]) -> None:
    known = {rule["record"] for rule in RECORDED} | foreign() | set(of_the_code())
    assert metrics(rule["expr"])
    assert metrics(rule["expr"]) - known == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_how_bad_it_is_what_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["annotations"]["summary"]
    page, _, section = alert["annotations"]["runbook"].partition("#")
    assert section in sections(ROOT / page)


def test_every_alert_is_tested_when_it_fires_and_when_it_does_not() -> None:
    tests = yaml.safe_load((FOLDER / "tests" / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    told = {(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]}
    assert told == {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}


def test_alerts_on_labelled_and_on_plain_counters_are_read() -> None:
    """What the next test looks at."""
    read = {name for alert in ALERTS for name, _, _ in INCREASE.findall(alert["expr"])}
    assert {"dead_letters_total", "audit_anchor_conflicts_total"} <= read


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_on_a_labelled_counter_hears_its_first_event(alert: dict[str, Any]) -> None:
    plain = {f"{SUFFIX.sub('', metric.name)}_total" for metric in created() if not metric.labels}
    expression = " ".join(alert["expr"].split())
    increases = INCREASE.findall(expression)
    assert len(increases) == expression.count("increase(")
    for name, matchers, window in increases:
        series = name + matchers
        assert name in plain or f"({series} unless {series} offset {window}) >" in expression


def of_the_code() -> Iterator[str]:
    """Names under which Prometheus knows the metrics that the code makes and the page lists."""
    both = {metric.name for metric in created()} & {metric.name for metric in documented()}
    for metric in created():
        if metric.name not in both:
            continue
        if metric.kind == "counter":
            yield f"{SUFFIX.sub('', metric.name)}_total"
        elif metric.kind == "histogram":
            yield from (f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
        else:
            yield metric.name


def foreign() -> set[str]:
    """Metrics of other programs, as the page lists them."""
    return set(FOREIGN_ROW.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
