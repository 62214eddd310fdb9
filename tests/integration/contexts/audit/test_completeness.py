"""Every method that changes something leaves an audit entry, with its change, and without its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.events.audit import AuditEntry, Auditor
from mesh.rpc.access import has_side_effects
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from soma.events.v1.audit_pb2 import AUDIT_DECISION_ALLOWED, AUDIT_DECISION_DENIED
from svc_gateway.adapters.descriptors import Descriptors
from tests.integration.contexts.audit.observer import SECRET, TENANT, TRACE, AuditObserver, Told
from tests.integration.contexts.audit.page import PAGE, render
from tests.integration.contexts.audit.table import audits, without_a_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import asyncpg

    from tests.conftest import Database

AUDITS = audits()


class DiscardingAuditor(Auditor):
    """The planted bug: hears of everything and tells nobody."""

    async def record_all(self, connection: asyncpg.Connection, entries: Sequence[AuditEntry]) -> None:
        """Nothing."""


def changing() -> set[tuple[str, str]]:
    """Context and name of the methods of all contracts that change something."""
    descriptors = Descriptors.read()
    descriptors.load_generated()
    return {
        (method.context, short(f"{method.service}.{method.name}"))
        for method in descriptors.route_table().methods
        if has_side_effects(method.service, method.name)
    }


def short(operation: str) -> str:
    """A method without its protobuf package; what is no method stays as it is."""
    return ".".join(operation.split(".")[-2:]) if operation.startswith("soma.") else operation


def silent(told: Mapping[str, Told], context: str) -> list[str]:
    """What should have been audited in a context and was not."""
    by_name = {short(operation): entries for operation, entries in told.items()}
    return [
        operation
        for operation, wanted in AUDITS[context].expected().items()
        if not any((entry.action, entry.resource_type) == (wanted.action, wanted.resource_type)
                   for _, entry in by_name.get(operation, ()))
    ]  # fmt: skip


async def drive(database: Database, folder: Path, make: Auditor, context: str) -> Mapping[str, Told]:
    async with Postgres.open(await database(context)) as postgres:
        observer = AuditObserver(postgres)
        await AUDITS[context].drive(observer, make, folder)
        return observer.told


def test_every_method_that_changes_something_has_a_row_of_its_context() -> None:
    assert list(without_a_row(changing(), AUDITS)) == []


def test_every_row_is_of_a_method_that_changes_something_and_stands_once() -> None:
    rows = [(name, method) for name, audit in AUDITS.items() for method in (*audit.audited, *audit.not_audited)]
    assert sorted(rows) == sorted(changing())


def test_a_method_without_a_row_is_named() -> None:
    less = {name: audit for name, audit in AUDITS.items() if name != "critic"}
    told = list(without_a_row([("critic", "RubricService.CreateRubric"), ("assets", "AssetService.Shuffle")], less))
    assert told == [
        "assets.AssetService.Shuffle: name it in tests/integration/assets/audited.py",
        "critic.RubricService.CreateRubric: name it in tests/integration/critic/audited.py",
    ]


@pytest.mark.parametrize("context", AUDITS)
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


@pytest.mark.parametrize("context", AUDITS)
async def test_the_check_catches_a_context_whose_auditor_records_nothing(
    database: Database, tmp_path: Path, context: str
) -> None:
    told = await drive(database, tmp_path, auditor(context, DiscardingAuditor), context)
    assert set(silent(told, context)) == set(AUDITS[context].expected())


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
        await AUDITS["executor"].drive(observer, auditor("executor"), tmp_path)
    assert [entry.action for _, entry in observer.told["soma.executor.v1.JobService.CancelJob"]] == ["job.cancel"]


def test_the_page_says_what_is_audited() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert render(page, AUDITS) == page, "run python -m tests.integration.contexts.audit.page"


def test_a_row_that_the_page_lacks_is_written() -> None:
    page = PAGE.read_text(encoding="utf-8")
    row = "| `critic.RubricService.CreateRubric` | `rubric.write` of `rubric` | always |\n"
    assert row in page
    assert render(page.replace(row, ""), AUDITS) == page
