"""Every method that changes something leaves an audit entry, with its change, and without its content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.events.audit import AuditEntry, Auditor
from mesh.rpc.access import has_side_effects
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from soma.events.v1.audit_pb2 import AUDIT_DECISION_ALLOWED, AUDIT_DECISION_DENIED
from svc_gateway.adapters.descriptors import Descriptors
from tests.integration.contexts.audit.drives import DRIVES
from tests.integration.contexts.audit.observer import SECRET, TENANT, TRACE, AuditObserver, Told
from tests.integration.contexts.audit.table import AUDITED, ELSEWHERE, NOT_AUDITED, READS, UNPROMPTED, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import asyncpg

    from tests.conftest import Database

PAGE = Path(__file__).parents[4] / "docs" / "operations" / "audited.md"


class DiscardingAuditor(Auditor):
    """The planted bug: hears of everything and tells nobody."""

    async def record_all(self, connection: asyncpg.Connection, entries: Sequence[AuditEntry]) -> None:
        """Nothing."""


def changing() -> set[str]:
    """Full names of the methods of all contracts that change something."""
    descriptors = Descriptors.read()
    descriptors.load_generated()
    methods = descriptors.route_table().methods
    return {f"{method.service}.{method.name}" for method in methods if has_side_effects(method.service, method.name)}


def silent(told: Mapping[str, Told], context: str) -> list[str]:
    """What should have been audited in a context and was not."""
    return [
        operation
        for operation, wanted in expected(context).items()
        if not any((entry.action, entry.resource_type) == (wanted.action, wanted.resource_type)
                   for _, entry in told.get(operation, ()))
    ]  # fmt: skip


def expected(context: str) -> dict[str, Entry]:
    """The rows of the tables that one context is driven through."""
    own = {name: entry for name, entry in {**AUDITED, **READS}.items() if name.startswith(f"soma.{context}.")}
    own = {name: entry for name, entry in own.items() if not name.startswith(ELSEWHERE)}
    unprompted = {"executor": ("run",), "assets": ("upload",)}.get(context, ())
    return {
        **own,
        **{
            operation: entry for operation, entry in UNPROMPTED.items() if any(word in operation for word in unprompted)
        },
    }


async def drive(database: Database, folder: Path, make: Auditor, context: str) -> Mapping[str, Told]:
    async with Postgres.open(await database(context)) as postgres:
        observer = AuditObserver(postgres)
        await DRIVES[context](observer, make, folder)
        return observer.told


def test_every_method_that_changes_something_stands_in_a_table() -> None:
    assert changing() == {*AUDITED, *NOT_AUDITED}
    assert not set(AUDITED) & set(NOT_AUDITED)


def test_every_context_that_changes_something_is_driven() -> None:
    contexts = {name.split(".")[1] for name in AUDITED if not name.startswith(ELSEWHERE)}
    assert contexts == set(DRIVES)


@pytest.mark.parametrize("context", DRIVES)
async def test_every_change_leaves_its_entry_and_no_content(database: Database, tmp_path: Path, context: str) -> None:
    told = await drive(database, tmp_path, auditor(context), context)
    assert silent(told, context) == []
    everything = [(operation, tenant, entry) for operation, entries in told.items() for tenant, entry in entries]
    for operation, tenant, entry in everything:
        assert entry.context == context, operation
        assert tenant in {TENANT, "other", ""}, operation
        assert SECRET not in str(entry), operation
        if entry.action.endswith(".read"):
            assert (entry.before_digest, entry.after_digest) == ("", ""), operation
        elif entry.decision == AUDIT_DECISION_ALLOWED:
            assert entry.before_digest != entry.after_digest, operation
    assert all(
        entry.subject == "alice" and entry.trace_id == TRACE for operation, _, entry in everything if "." in operation
    )


@pytest.mark.parametrize("context", DRIVES)
async def test_the_check_catches_a_context_whose_auditor_records_nothing(
    database: Database, tmp_path: Path, context: str
) -> None:
    told = await drive(database, tmp_path, auditor(context, DiscardingAuditor), context)
    assert set(silent(told, context)) == set(expected(context))


async def test_refusals_are_told_as_such_and_change_nothing(database: Database, tmp_path: Path) -> None:
    for context, operation in (
        ("selector", "soma.selector.v1.SelectorService.Select"),
        ("assets", "an upload is rejected by the scan"),
    ):
        told = await drive(database, tmp_path, auditor(context), context)
        [(_, entry)] = told[operation]
        assert entry.decision == AUDIT_DECISION_DENIED
        assert (entry.before_digest, entry.after_digest) == ("", "")
        assert entry.reason


async def test_a_repeated_request_changes_nothing_and_is_not_audited(database: Database, tmp_path: Path) -> None:
    async with Postgres.open(await database("executor")) as postgres:
        observer = AuditObserver(postgres)
        await DRIVES["executor"](observer, auditor("executor"), tmp_path)
    assert [entry.action for _, entry in observer.told["soma.executor.v1.JobService.CancelJob"]] == ["job.cancel"]


def rows() -> Iterator[str]:
    """The rows of the page, in its order."""
    for name, entry in AUDITED.items():
        short = name.removeprefix("soma.").replace(".v1.", ".")
        yield f"| `{short}` | {entry} | {entry.when or 'always'} |"
    for operation, entry in UNPROMPTED.items():
        yield f"| {operation} | {entry} | {entry.when or 'always'} |"
    for name, entry in READS.items():
        short = name.removeprefix("soma.").replace(".v1.", ".")
        yield f"| `{short}` | {entry} | {entry.when} |"
    for name, why in NOT_AUDITED.items():
        short = name.removeprefix("soma.").replace(".v1.", ".")
        yield f"| `{short}` | {why} |"


def test_the_page_says_what_is_audited() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert [line for line in listed if not line.startswith(("| What", "| Method"))] == list(rows())
