"""The lineage as W3C PROV-JSON, read back by a library that knows the standard."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from prov.model import (
    ProvAgent,
    ProvAssociation,
    ProvDelegation,
    ProvDerivation,
    ProvDocument,
    ProvGeneration,
    ProvUsage,
)

from mesh.ids import derive
from svc_provenance.domain.asset_records import Provenance
from svc_provenance.domain.prov import PREFIXES, prov_json

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UPLOAD, CHART, DOCUMENT = (derive("asset", name) for name in ("upload", "chart", "document"))


def lineage() -> tuple[Provenance, list[Provenance]]:
    """A document that was made from a chart, which was made from an upload."""
    upload = Provenance(UPLOAD, "upload", "text/csv", "aa" * 32, NOW, subject="alice@example.org")
    chart = Provenance(
        CHART, "diagram", "image/png", "bb" * 32, NOW, job_id="j", step_id="chart",
        execution_id=derive("execution", "1"),
        attempt=1, selection_id="s", capability_id="matplotlib_chart@local", model="matplotlib 3.10",
        subject="alice@example.org", params={"kind": "bar", "scale": 2},
        prompt_summary="Draw “sales”", parent_ids=(UPLOAD,), cost_micro_usd=7,
        latency_ms=120, trace_id="a" * 32, passes=True, quality=0.93, evaluation_id="v",
    )  # fmt: skip
    document = Provenance(
        DOCUMENT, "document", "application/pdf", "cc" * 32, NOW, job_id="j", step_id="document",
        execution_id=derive("execution", "2"), attempt=1, capability_id="composer@local", subject="alice@example.org",
        parent_ids=(CHART, UPLOAD),
    )  # fmt: skip
    return document, [chart, upload]


@pytest.fixture
def document() -> ProvDocument:
    """The lineage as the library reads it."""
    return parsed(json.dumps(prov_json(*lineage())))


def parsed(text: str) -> ProvDocument:
    """A PROV-JSON text as the library reads it."""
    found = ProvDocument.deserialize(io.StringIO(text), format="json")
    assert isinstance(found, ProvDocument)
    return found


def names(document: ProvDocument, kind: type, *roles: str) -> set[tuple[str, ...]]:
    """What relations of a kind relate."""
    found = set()
    for record in document.get_records(kind):
        by_role = {name.localpart: value for name, value in record.formal_attributes}
        found.add(tuple(str(by_role[role]) for role in roles))
    return found


def test_every_prefix_is_declared_and_nothing_else_is_used() -> None:
    told = prov_json(*lineage())
    assert told["prefix"] == PREFIXES
    used = {name.partition(":")[0] for kind, items in told.items() if kind != "prefix" for name in items}
    assert used <= {*PREFIXES, "_"}


def test_a_library_reads_it_back_without_loss(document: ProvDocument) -> None:
    assert parsed(document.serialize(format="json")) == document
    assert len(list(document.get_records())) == sum(
        len(items) for kind, items in prov_json(*lineage()).items() if kind != "prefix"
    )


def test_assets_are_derived_from_what_they_were_made_from(document: ProvDocument) -> None:
    pairs = names(document, ProvDerivation, "generatedEntity", "usedEntity")
    assert pairs == {(f"asset:{a}", f"asset:{b}") for a, b in ((CHART, UPLOAD), (DOCUMENT, CHART), (DOCUMENT, UPLOAD))}


def test_an_upload_is_a_primary_source_and_nothing_else_is(document: ProvDocument) -> None:
    sources = {
        str({n.localpart: v for n, v in record.formal_attributes}["usedEntity"])
        for record in document.get_records(ProvDerivation)
        if any(str(value) == "prov:PrimarySource" for _, value in record.extra_attributes)
    }
    assert sources == {f"asset:{UPLOAD}"}


def test_executions_used_inputs_and_generated_outputs(document: ProvDocument) -> None:
    run = [f"execution:{derive('execution', number)}" for number in ("1", "2")]
    assert names(document, ProvGeneration, "entity", "activity") == {
        (f"asset:{CHART}", run[0]),
        (f"asset:{DOCUMENT}", run[1]),
    }
    assert names(document, ProvUsage, "activity", "entity") == {
        (run[0], f"asset:{UPLOAD}"),
        (run[1], f"asset:{CHART}"),
        (run[1], f"asset:{UPLOAD}"),
    }


def test_software_acts_on_behalf_of_a_subject(document: ProvDocument) -> None:
    assert ("capability:composer@local", "subject:alice@example.org") in names(
        document, ProvDelegation, "delegate", "responsible"
    )
    assert ("model:matplotlib%203.10", "capability:matplotlib_chart@local") in names(
        document, ProvDelegation, "delegate", "responsible"
    )
    assert len(names(document, ProvAssociation, "activity", "agent")) == 5
    software = {
        str(agent.identifier)
        for agent in document.get_records(ProvAgent)
        if "prov:SoftwareAgent" in {str(kind) for kind in agent.get_asserted_types()}
    }
    assert software == {"capability:matplotlib_chart@local", "capability:composer@local", "model:matplotlib%203.10"}


def test_an_erased_asset_is_invalidated() -> None:
    own = Provenance(UPLOAD, "upload", "text/csv", "aa" * 32, NOW, subject="alice", deleted_at=NOW)
    told = prov_json(own, [])
    assert [*told["wasInvalidatedBy"].values()] == [
        {"prov:entity": f"asset:{UPLOAD}", "prov:time": "2026-03-01T12:00:00Z"}
    ]  # type: ignore[union-attr]
    assert "prov:Invalidation" not in parsed(json.dumps(told)).serialize(format="json")


def test_the_same_lineage_is_the_same_document() -> None:
    assert json.dumps(prov_json(*lineage())) == json.dumps(prov_json(*lineage()))
