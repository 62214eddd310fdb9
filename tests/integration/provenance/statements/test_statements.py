"""No statement of the record reads a whole table that grows with work."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

import svc_provenance.adapters.postgres
from svc_provenance.adapters.postgres import dead_letter_claims
from tests.integration.provenance.statements.explained import Explained, Plan, explain_all
from tests.integration.provenance.statements.rows import GROWING, grow
from tests.integration.provenance.statements.work import WORK, read_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mesh.settings import PostgresSettings
    from soma_local.testing.engines import Databases

FOLDER = Path(__file__).parents[4] / "svc_provenance" / "migrations"
MANY = 10_000
"""Rows of a table that must not be read whole. In its first days the part of a month has fewer, and is read at once."""
pytestmark = pytest.mark.timeout(600)
_PART = re.compile(r"_(\d{4}_\d{2}|default)$")
_STATEMENT = re.compile(r"\s*(--.*\n|\s)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_PIECES = ("_CLAIM", "_ALL_OLD", "_DELETE", "_OLDEST_OF_OWNERS", "_OWNERS")
_GENERIC = "SET LOCAL plan_cache_mode = force_generic_plan"
_CURSOR = re.compile(r"\((ended_at, receipt_id|created_at, dlq_id)\) < \(|sequence < \$|\(sequence, recorded_at\) > \(")


@pytest.fixture(scope="module")
async def grown(databases: Databases) -> tuple[PostgresSettings, Mapping[str, float]]:
    """A record that has grown, and how many rows each table and part of one has."""
    config = await databases.fresh("provenance", [FOLDER])
    dsn = databases.owner_dsn(config)
    owner = await asyncpg.connect(dsn, server_settings={"search_path": "provenance", "timezone": "UTC"})
    try:
        await grow(owner)
        await explain_all(owner, dsn.rpartition("/")[2].partition("?")[0])
        rows = await owner.fetch("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
    finally:
        await owner.close()
    return config, {row["relname"]: row["reltuples"] for row in rows}


@pytest.fixture(scope="module")
async def plans(grown: tuple[PostgresSettings, Mapping[str, float]]) -> Sequence[Plan]:
    """How everything that the record does was run."""
    async with Explained.open(grown[0]) as postgres:
        postgres.plans = []
        for work in WORK:
            await work(postgres)
        return postgres.plans


def conditions(plan: Plan) -> list[str]:
    """What the indexes that a plan reads are searched for."""
    return [str(node.get("Index Cond", "")) for node in plan.nodes()]


def whole_reads(plan: Plan, rows: Mapping[str, float]) -> Iterator[str]:
    """Tables and parts of which a plan reads everything."""
    for node in plan.nodes():
        name = node.get("Relation Name", "")
        if _PART.sub("", name) not in GROWING or rows.get(name, 0) < MANY:
            continue
        from_its_start = "Index Cond" not in node and not _ends_early(plan, node)
        if node["Node Type"] == "Seq Scan" or (node["Node Type"].startswith("Index") and from_its_start):
            yield name


def _ends_early(plan: Plan, node: Mapping[str, object]) -> bool:
    """Whether a limit ends the reading of an index from its start."""
    limits = [above for above in plan.nodes() if above["Node Type"] == "Limit"]
    return any(node in list(Plan("", limit).nodes()) for limit in limits)


def test_no_statement_reads_a_whole_table_that_grows(
    plans: Sequence[Plan], grown: tuple[PostgresSettings, Mapping[str, float]]
) -> None:
    found = {(" ".join(plan.statement.split())[:200], name) for plan in plans for name in whole_reads(plan, grown[1])}
    assert found == set()


def test_entries_of_one_action_are_found_by_index(plans: Sequence[Plan]) -> None:
    pages = [plan for plan in plans if "FROM audit_events" in plan.statement]
    assert any("action = " in condition for plan in pages for condition in conditions(plan))


def test_dead_letters_of_one_correlation_id_are_found_by_index(plans: Sequence[Plan]) -> None:
    pages = [plan for plan in plans if "FROM dlq_messages" in plan.statement and "row_number" in plan.statement]
    assert any("correlation_id = " in condition for plan in pages for condition in conditions(plan))


async def test_pages_begin_at_their_cursor_also_in_plans_for_all_values(
    grown: tuple[PostgresSettings, Mapping[str, float]],
) -> None:
    async with Explained.open(grown[0]) as postgres:
        postgres.first = _GENERIC
        postgres.plans = []
        await read_pages(postgres)
    later = [plan for plan in postgres.plans if _CURSOR.search(plan.statement)]
    assert len({plan.statement for plan in later}) == 3 * 3 + 2
    for plan in later:
        assert any("<" in condition or ">" in condition for condition in conditions(plan)), plan.statement


async def test_dead_letters_whose_time_is_to_come_are_not_read(plans: Sequence[Plan]) -> None:
    (claim,) = (plan for plan in plans if _plain(dead_letter_claims._CLAIM_OVERDUE) == _plain(plan.statement))
    assert any("GREATEST(requeue_at, claimed_until) <" in condition for condition in conditions(claim))


async def test_a_statement_that_reads_a_whole_table_is_found(
    grown: tuple[PostgresSettings, Mapping[str, float]],
) -> None:
    """The planted bug: ids compared as texts."""
    async with Explained.open(grown[0]) as postgres:
        postgres.plans = []
        async with postgres.transaction("tenant-7") as connection:
            await connection.fetch("SELECT FROM asset_provenance WHERE asset_id::text = $1", "x")
        assert {name for plan in postgres.plans for name in whole_reads(plan, grown[1])} == {"asset_provenance"}


def test_every_statement_of_the_adapters_was_run(plans: Sequence[Plan]) -> None:
    ran = {_plain(plan.statement) for plan in plans}
    held = dict(statements())
    assert {"audit._APPEND", "dead_letter_claims._CLAIM_OVERDUE", "receipts._COMPLETE"} <= set(held)
    missing = [name for name, text in held.items() if not any(_plain(text) in one for one in ran)]
    assert missing == []


def statements() -> Iterator[tuple[str, str]]:
    """The statements that the adapters hold, by their names; not those that are only parts of others."""
    for module in pkgutil.iter_modules(svc_provenance.adapters.postgres.__path__):
        held = vars(importlib.import_module(f"svc_provenance.adapters.postgres.{module.name}"))
        for name, value in held.items():
            if isinstance(value, str) and _STATEMENT.match(value) and "{" not in value and name not in _PIECES:
                yield f"{module.name}.{name}", value


def _plain(text: str) -> str:
    return " ".join(text.split())
