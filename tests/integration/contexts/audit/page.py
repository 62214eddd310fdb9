"""The tables of docs/operations/audited.md. `python -m tests.integration.contexts.audit.page` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.contexts.audit.table import ContextAudit, Entry, audits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = Path(__file__).parents[4] / "docs" / "operations" / "audited.md"
_RULE = "| --- "


def _entries(context: str, rows: Mapping[str, Entry], kind: str) -> Iterator[str]:
    for name, entry in rows.items():
        called = name if kind == "unprompted" else f"`{context}.{name}`"
        yield f"| {called} | {entry} | {entry.when or 'always'} |"


def _section(heading: str, known: Mapping[str, ContextAudit]) -> list[str] | None:
    """The rows of the table below a heading; None where there is none."""
    kind = {"By method": "audited", "Without a call": "unprompted", "Reads": "reads"}.get(heading)
    if kind is not None:
        return [row for name, audit in known.items() for row in _entries(name, getattr(audit, kind), kind)]
    if heading == "What is not audited":
        return [
            f"| `{name}.{key}` | {why} |" for name, audit in known.items() for key, why in audit.not_audited.items()
        ]
    return None


def render(page: str, known: Mapping[str, ContextAudit]) -> str:
    """The page with its tables as the contexts say."""
    lines: list[str] = []
    rows: list[str] | None = None
    in_table = False
    for line in page.splitlines():
        if line.startswith("## "):
            rows = _section(line.removeprefix("## "), known)
        if in_table and line.startswith("| "):
            continue
        in_table = rows is not None and line.startswith(_RULE)
        lines += [line, *(rows or ())] if in_table else [line]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), audits()), encoding="utf-8")
