"""The main job, from the REST edge to a finished document, as `soma demo` does it."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import pypdf
import pytest

from soma_documents import verify_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import RunningMesh

STEPS = ("purpose", "perspective", "architecture", "sequence", "chart", "screenshot", "summary", "document")
TEXTS = ("purpose", "perspective")


@pytest.mark.timeout(300)
def test_full_srs_with_multimodal(mesh: RunningMesh, tmp_path: Path) -> None:
    done = mesh.soma("demo", "--json", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    out = tmp_path / "out"
    trace = json.loads((out / "trace.json").read_text())
    job = json.loads((out / "job.json").read_text())["job"]
    assert job["state"] == "JOB_STATE_COMPLETED"
    assert [step["step_id"] for step in job["steps"]] == list(STEPS)
    check_documents(out)
    check_trace(trace)
    check_provenance(mesh, out, job)


def check_documents(out: Path) -> None:
    [html] = out.glob("*.html")
    text = html.read_text()
    assert "<script" not in text
    assert text.count("<figure") >= 5
    assert "Traceability" in text
    assert "[[" not in text
    [pdf] = out.glob("*.pdf")
    reader = pypdf.PdfReader(pdf)
    assert len(reader.pages) >= 4
    assert reader.outline
    [bundle] = out.glob("*.zip")
    assert list(verify_bundle(bundle.read_bytes())) == []
    with zipfile.ZipFile(io.BytesIO(bundle.read_bytes())) as archive:
        names = archive.namelist()
    assert {"manifest.json", "provenance.json"} <= {name.rsplit("/", 1)[-1] for name in names}
    [markdown] = out.glob("*.md")
    assert "REQ-001" in markdown.read_text()


def check_trace(trace: dict) -> None:  # type: ignore[type-arg]
    assert trace["complete"]
    assert (trace["totals"]["fallbacks"], trace["totals"]["reworks"]) == (1, 1)
    steps = {step["step_id"]: step for step in trace["steps"]}
    purpose = steps["purpose"]
    assert purpose["attempts"][0]["execution"]["error_code"] == "UNAVAILABLE"
    assert "fell back to smollm2@local after studio_chat@studio" in purpose["story"]
    assert "RESOLUTION_TOO_LOW" in steps["chart"]["story"]
    assert "reworked it with matplotlib_chart@local" in steps["chart"]["story"]
    for step in trace["steps"]:
        assert all(attempt["execution"]["selection_id"] for attempt in step["attempts"]), step["step_id"]
        assert step["attempts"][0]["selection"]["reason"], step["step_id"]
    assert steps["sequence"]["attempts"][0]["selection"]["chosen"]["capability_id"] == "plantuml@local"


def check_provenance(mesh: RunningMesh, out: Path, job: dict) -> None:  # type: ignore[type-arg]
    document = next(step for step in job["steps"] if step["step_id"] == "document")
    parts = {asset for step in job["steps"] if step["step_id"] != "document" for asset in step["asset_ids"][:1]}
    with mesh.client() as api:
        for step in job["steps"]:
            for asset_id in step["asset_ids"]:
                found = api.get(f"/v1/multimodal/provenance/{asset_id}")
                assert found.status_code == 200, found.text
                assert found.json()["asset"]["capability_id"] == step["capability_id"]
        lineage = api.get(f"/v1/multimodal/provenance/{document['asset_ids'][0]}").json()
    pictures = {asset for asset in parts if asset not in text_assets(job)}
    assert len(pictures) == len(STEPS) - len(TEXTS) - 1
    assert pictures <= {item["asset_id"] for item in lineage["ancestors"]}


def text_assets(job: dict) -> set[str]:  # type: ignore[type-arg]
    """Texts flow into the document as words, not as assets."""
    return {asset for step in job["steps"] if step["step_type"] == "generate_text" for asset in step["asset_ids"]}
