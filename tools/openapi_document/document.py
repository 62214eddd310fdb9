"""The whole document."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from tools.openapi_document import errors
from tools.openapi_document.operations import Operations, forms
from tools.openapi_document.schemas import Schemas

if TYPE_CHECKING:
    from svc_gateway.domain.templates import Template
    from tools.openapi_document.contracts import Contracts

_DESCRIPTION = """\
Every path is a gRPC method of the mesh, translated by the edge. Fields have the names of the protobuf contracts; \
64-bit integers are strings, times are RFC 3339, durations are seconds with an `s`. Unknown query parameters are \
refused, unknown JSON fields are ignored. Failures have one form everywhere, see the schema Error. HEAD is served \
where GET is, except of streams.\
"""
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of POST /v1/token, or an API key soma_<environment>_<JWS>.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "An API key soma_<environment>_<JWS>. A bearer token beside it counts alone.",
    },
}


def render(contracts: Contracts, version: str) -> str:
    """The document as indented JSON."""
    schemas = Schemas(contracts)
    operations = Operations(contracts, schemas)
    paths: dict[str, dict[str, object]] = defaultdict(dict)
    tags = []
    # Paths that match the same requests are one path, whatever its variables are called.
    shown: dict[str, Template] = {}
    for service in contracts.services():
        tags.append({"name": service.name, "description": contracts.comment(service.full_name)})
        for method in service.methods:
            rule = contracts.option(method, "google.api.http")
            for number, form in enumerate(forms(rule) if rule is not None else ()):
                template = shown.setdefault(form.template.regex, form.template)
                operation = operations.operation(method, form, number, template)
                paths[template.text][form.verb.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "SomaMesh",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"api_key": []}],
        "tags": [tag for tag in tags if _used(tag["name"], paths)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": _SECURITY,
            "responses": errors.responses(),
            "schemas": {**errors.schemas(), **dict(sorted(schemas.components.items()))},
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _used(tag: str, paths: dict[str, dict[str, object]]) -> bool:
    return any(tag in operation["tags"] for path in paths.values() for operation in path.values())  # type: ignore[index]
