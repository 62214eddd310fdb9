"""What the pages say is what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from soma_local.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
KINDS = {"counter", "gauge", "histogram"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
METRIC_ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|$", re.MULTILINE)


@dataclass(frozen=True)
class Metric:
    """A metric as a program that reads it knows it."""

    name: str
    kind: str
    labels: tuple[str, ...]


def test_the_settings_page_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "tools/settings_doc.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_metrics_page_lists_exactly_the_metrics_of_the_code() -> None:
    assert sorted(documented(), key=str) == sorted(created(), key=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    assert [target for target in relative_links(page) if not (page.parent / target).exists()] == []


def test_every_decision_is_listed() -> None:
    decisions = {path.name for path in (DOCS / "adr").glob("[0-9]*.md")}
    assert "0001-dependencies.md" in decisions
    assert set(relative_links(DOCS / "adr" / "README.md")) >= decisions


def test_the_runbook_says_of_every_folder_of_a_home_whether_it_must_be_kept(tmp_path: Path) -> None:
    text = (DOCS / "multimodal" / "OPERATIONS_RUNBOOK.md").read_text(encoding="utf-8")
    said = text.partition("What must be kept")[2].partition("Migrations run")[0]
    Home(tmp_path / "home").create()
    folders = {path.name for path in (tmp_path / "home").iterdir()}
    kept, made_again = said.split("\n\n`cache/`")
    named = set(re.findall(r"^\| `([a-z]+)/` \|", kept, re.MULTILINE))
    again = set(re.findall(r"`([a-z]+)/`", f"`cache/`{made_again.partition(' are made again')[0]}"))
    assert folders <= named | again
    assert not named & again
    assert named == {"data", "blobs", "anchors", "secrets", "pki"}


def relative_links(page: Path) -> list[str]:
    """Targets of a page's links to files, without their fragments; code is left out."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = (found.partition("#")[0] for found in LINK.findall(text) if "://" not in found)
    return [target for target in targets if target and not target.startswith("mailto:")]


def documented() -> list[Metric]:
    """The metrics of the page."""
    rows = METRIC_ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8"))
    return [Metric(name, kind, tuple(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels in rows]


def created() -> set[Metric]:
    """The metrics that the code makes, each once, wherever it is made."""
    files = [
        path for folder in (ROOT / "mesh", *ROOT.glob("soma_*"), *ROOT.glob("svc_*")) for path in folder.rglob("*.py")
    ]
    texts = (path.read_text(encoding="utf-8") for path in files)
    return {metric for text in texts if "telemetry" in text for metric in metrics_of(ast.parse(text))}


def metrics_of(tree: ast.AST) -> Iterator[Metric]:
    """The metrics that a module makes with `counter`, `gauge` or `histogram` of `mesh.telemetry`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if kind in KINDS and node.args and isinstance(node.args[0], ast.Constant):
            labels = [*node.args[2:3], *(word.value for word in node.keywords if word.arg == "labels")]
            yield Metric(str(node.args[0].value), kind, tuple(ast.literal_eval(labels[0])) if labels else ())
