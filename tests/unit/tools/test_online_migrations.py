"""No migration holds a lock for as long as a table is large."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.online_migrations import problems

ROOT = Path(__file__).parents[3]
FOLDERS = sorted({*ROOT.glob("svc_*/migrations"), ROOT / "mesh/events/migrations", ROOT / "mesh/stores/schema"})
MIGRATIONS = sorted(file for folder in FOLDERS for file in folder.glob("*.sql"))

OFFLINE = {
    "20261124000300_dead_letters.sql": "from before the first release; dead letters are few",
    "20261124000600_trace_months.sql": "copies facts; docs/operations/online_migrations.md has the way around",
    "20261124000610_receipts.sql": "from before the first release",
    "20261124000620_retention.sql": "from before the first release",
    "20261124000630_execution_months.sql": "copies attempts; docs/operations/online_migrations.md has the way around",
    "20261129044110_capability_values.sql": "changes the rows of capabilities: thousands, not millions",
    "20261129430010_asset_states.sql": "changes the few rows of uploads and erasures under way, by an index",
}
"""Migrations that the rules do not fit, each with the reason why it stays."""


def migration(folder: Path, up: str, options: str = "") -> Path:
    file = folder / "20270101000000_sample.sql"
    file.write_text(f"-- migrate:up {options}\n{up}\n\n-- migrate:down\nSELECT 1;\n")
    return file


@pytest.mark.parametrize("file", MIGRATIONS, ids=lambda file: file.name)
def test_a_migration_runs_beside_a_busy_service(file: Path) -> None:
    found = problems(file)
    assert found == [] or file.name in OFFLINE


def test_every_exception_is_needed() -> None:
    assert {file.name for file in MIGRATIONS if problems(file)} == set(OFFLINE)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX jobs_by_name ON jobs (name);",
        "CREATE UNIQUE INDEX jobs_by_name ON jobs (name);",
        "ALTER TABLE jobs ADD CONSTRAINT positive CHECK (n > 0);",
        "ALTER TABLE jobs ADD COLUMN a text, ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES other;",
        "ALTER TABLE jobs ADD PRIMARY KEY (id);",
        "ALTER TABLE jobs ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp();",
        "ALTER TABLE jobs ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) STORED;",
        "ALTER TABLE jobs ADD COLUMN other uuid REFERENCES others;",
        "ALTER TABLE jobs ALTER COLUMN n TYPE bigint;",
        "ALTER TABLE jobs ALTER COLUMN n SET NOT NULL;",
        "UPDATE jobs SET n = 1;",
        "DELETE FROM jobs;",
        "CREATE TABLE copy (id int);\nINSERT INTO copy SELECT id FROM jobs;",
        "CREATE TABLE copy AS SELECT * FROM jobs;",
        "DO $$ BEGIN EXECUTE 'INSERT INTO copy SELECT * FROM jobs'; END $$;",
        "LOCK TABLE jobs;",
        "VACUUM FULL jobs;",
        "CREATE INDEX CONCURRENTLY jobs_by_name ON jobs (name);",
    ],
)
def test_a_statement_that_locks_a_table_with_rows_is_found(tmp_path: Path, statement: str) -> None:
    assert problems(migration(tmp_path, statement)) != []


def test_one_concurrent_index_outside_of_a_transaction_is_fine(tmp_path: Path) -> None:
    statement = "CREATE INDEX CONCURRENTLY jobs_by_name ON jobs (name);"
    assert problems(migration(tmp_path, statement, "transaction:false")) == []
    assert problems(migration(tmp_path, statement * 2, "transaction:false")) != []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE jobs (id int PRIMARY KEY, n int CHECK (n > 0));\nCREATE INDEX jobs_by_n ON jobs (n);",
        "ALTER TABLE jobs ADD COLUMN note text;",
        "ALTER TABLE jobs ADD COLUMN n bigint NOT NULL DEFAULT 0;",
        "ALTER TABLE jobs ADD CONSTRAINT positive CHECK (n > 0) NOT VALID;",
        "ALTER TABLE jobs VALIDATE CONSTRAINT positive;",
        "ALTER TABLE jobs ADD CONSTRAINT jobs_key UNIQUE USING INDEX jobs_unique;",
        "ALTER TABLE jobs DROP COLUMN note;",
    ],
)
def test_a_statement_that_holds_its_lock_for_a_moment_is_fine(tmp_path: Path, statement: str) -> None:
    assert problems(migration(tmp_path, statement)) == []
