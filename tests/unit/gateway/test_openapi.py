"""The OpenAPI document says what the edge does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from mesh.errors import STATUS_MAPPINGS
from svc_gateway.adapters.descriptors import Descriptors

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "gen" / "openapi" / "openapi.json").read_text())
    return read


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [(path, verb, op) for path, verbs in document["paths"].items() for verb, op in verbs.items()]
    assert len(found) > 60
    return found


def test_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_document_follows_from_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", ["openapi"])
    from tools.openapi import main

    assert main(["--check"]) == 0


def test_every_rest_form_is_described(document: dict[str, Any]) -> None:
    table = Descriptors.read().route_table()
    forms = {(binding.template.regex, binding.verb.lower()) for method in table.methods for binding in method.bindings}
    assert len(operations(document)) == len(forms)
    assert len({op["operationId"] for _, _, op in operations(document)}) == len(forms)


def test_every_status_of_the_table_is_a_response(document: dict[str, Any]) -> None:
    assert set(document["components"]["responses"]) == {f"E{rule.http_status}" for rule in STATUS_MAPPINGS.values()}


def test_every_operation_says_how_it_fails(document: dict[str, Any]) -> None:
    for path, verb, op in operations(document):
        told = set(op["responses"])
        assert {"200", "400", "401", "429", "500", "503", "504"} <= told, (path, verb)
        assert ("413" in told) == ("requestBody" in op), (path, verb)


def test_public_operations_need_no_credential(document: dict[str, Any]) -> None:
    public = {path for path, _, op in operations(document) if op.get("security") == []}
    assert public == {"/v1/health", "/openapi.json", "/.well-known/jwks.json"}


def test_bounds_of_the_contracts_are_told(document: dict[str, Any]) -> None:
    asked = {item["name"]: item["schema"] for item in document["paths"]["/v1/api-keys"]["get"]["parameters"]}
    assert (asked["page_size"]["minimum"], asked["page_size"]["maximum"]) == (0, 500)
    key = document["components"]["schemas"]["gateway.v1.ApiKey"]
    assert key["required"] == ["display_name"]
    assert key["properties"]["display_name"]["maxLength"] == 100
    assert key["properties"]["secret"]["readOnly"] is True


def test_forms_of_protobufs_json_are_told(document: dict[str, Any]) -> None:
    job = document["components"]["schemas"]["executor.v1.Job"]["properties"]
    assert job["cost_micro_usd"]["format"] == "int64"
    assert job["cost_micro_usd"]["type"] == "string"
    assert job["create_time"]["format"] == "date-time"
    assert "JOB_STATE_UNSPECIFIED" in document["components"]["schemas"]["executor.v1.JobState"]["enum"]


def test_streams_and_bytes_have_their_types(document: dict[str, Any]) -> None:
    paths = document["paths"]
    events = paths["/v1/multimodal/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    assert events["text/event-stream"]["x-event"] == {"$ref": "#/components/schemas/executor.v1.JobEvent"}
    assert set(paths["/v1/multimodal/assets/{asset_id}"]["get"]["responses"]["200"]["content"]) == {"*/*"}
    assert set(paths["/v1/uploads"]["post"]["requestBody"]["content"]) == {"*/*"}


def test_what_the_path_fills_is_not_asked_again(document: dict[str, Any]) -> None:
    cancel = document["paths"]["/v1/multimodal/jobs/{job_id}:cancel"]["post"]
    assert "job_id" not in cancel["requestBody"]["content"]["application/json"]["schema"]["properties"]


def test_every_description_is_there(document: dict[str, Any]) -> None:
    assert [path for path, _, op in operations(document) if not op["description"]] == []
    described = {
        f"{name}.{field}": "description" in told
        for name, schema in document["components"]["schemas"].items()
        for field, told in schema.get("properties", {}).items()
        if name.count(".")
    }
    assert described["executor.v1.Job.job_id"]
    assert [name for name, is_described in described.items() if not is_described] == []
