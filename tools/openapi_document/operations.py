"""One operation for each REST form of a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_gateway.domain.templates import Template
from tools.openapi_document import errors
from tools.openapi_document.schemas import RAW, Schema, Schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
    from google.protobuf.message import Message

    from tools.openapi_document.contracts import Contracts

_JSON = "application/json"
_SSE = "text/event-stream"
_DEEP = frozenset(
    {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue", "google.protobuf.Any"}
)
_BY_TEXT = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})


@dataclass(frozen=True)
class Form:
    """One REST form: verb, path, and the field that the body fills."""

    verb: str
    template: Template
    body: str


def forms(rule: Message) -> Iterator[Form]:
    """The REST forms of a `google.api.HttpRule`."""
    verb = rule.WhichOneof("pattern")
    yield Form(verb.upper(), Template.parse(getattr(rule, verb)), rule.body)  # type: ignore[attr-defined]
    for other in rule.additional_bindings:  # type: ignore[attr-defined]
        yield from forms(other)


class Operations:
    """Makes operation objects."""

    def __init__(self, contracts: Contracts, schemas: Schemas) -> None:
        self._contracts = contracts
        self._schemas = schemas

    def operation(self, method: MethodDescriptor, form: Form, number: int, shown: Template) -> dict[str, object]:
        """The operation of one form; `number` tells the forms of a method apart, `shown` is the path's template."""
        comment = self._contracts.comment(method.full_name)
        access = self._contracts.option(method, "soma.common.v1.access")
        public = bool(access is not None and access.public)  # type: ignore[attr-defined]
        service = method.containing_service.name
        found: dict[str, object] = {
            "operationId": f"{service}_{method.name}" + (f"_{number}" if number else ""),
            "tags": [service],
            "summary": comment.split(". ")[0].rstrip("."),
            "description": comment,
        }
        names = shown.fields
        parameters = [
            *self._path_parameters(method.input_type, form, names),
            *self._query_parameters(method, form),
            *self._header_parameters(method),
        ]
        if parameters:
            found["parameters"] = parameters
        if form.body:
            found["requestBody"] = self._request_body(method.input_type, form)
        if public:
            found["security"] = []
        failures = errors.statuses(form.verb, public=public, body=bool(form.body), variables=not form.template.literal)
        found["responses"] = {
            "200": self._success(method),
            **{str(status): {"$ref": f"#/components/responses/{errors.name(status)}"} for status in failures},
        }
        return found

    def _path_parameters(self, message: Descriptor, form: Form, names: tuple[str, ...]) -> Iterator[dict[str, object]]:
        for name, path in zip(names, form.template.fields, strict=True):
            schema = self._schemas.field(_at(message, path))
            description = schema.pop("description", "")
            if "enum" not in schema and "$ref" not in schema and "minLength" not in schema:
                schema["minLength"] = 1
            yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}

    def _query_parameters(self, method: MethodDescriptor, form: Form) -> Iterator[dict[str, object]]:
        if form.body == "*":
            return
        taken = {*form.template.fields, form.body}
        for path, field in self._leaves(method.input_type, "", taken):
            schema = self._schemas.field(field)
            described = {"description": schema.pop("description", "")}
            required = {"required": True} if "." not in path and self._schemas.required(field) else {}
            exploded = {"style": "form", "explode": True} if field.is_repeated else {}
            yield {"name": path, "in": "query", **described, **required, **exploded, "schema": schema}

    def _header_parameters(self, method: MethodDescriptor) -> Iterator[dict[str, object]]:
        """The headers that say the same as a field of the request, which wins."""
        fields = method.input_type.fields_by_name
        if "request_id" in fields:
            bounds = {
                key: value for key, value in self._schemas.field(fields["request_id"]).items() if key != "description"
            }
            about = "Makes the call idempotent, as `request_id` does."
            schema = {**bounds, "pattern": "^[!-~]*$"}
            yield {"name": "Idempotency-Key", "in": "header", "description": about, "schema": schema}
        if method.server_streaming and "after" in fields:
            about = "The sequence of the last event that was seen, as `after` says it: the stream goes on after it."
            schema = {"type": "string", "pattern": "^[0-9]{0,18}$"}
            yield {"name": "Last-Event-ID", "in": "header", "description": about, "schema": schema}

    def _leaves(self, message: Descriptor, prefix: str, taken: set[str]) -> Iterator[tuple[str, FieldDescriptor]]:
        """Fields that a query can fill: everything but repeated messages, maps and free JSON."""
        for field in message.fields:
            path = f"{prefix}{field.name}"
            inner = field.message_type
            if path in taken or (inner is not None and (field.is_repeated or inner.full_name in _DEEP)):
                continue
            if inner is None or inner.full_name in _BY_TEXT:
                yield path, field
            else:
                yield from self._leaves(inner, f"{path}.", taken)

    def _request_body(self, message: Descriptor, form: Form) -> dict[str, object]:
        if form.body == "*":
            bound = {path for path in form.template.fields if "." not in path}
            schema = self._schemas.inline(message, bound)
            return {"required": "required" in schema, "content": {_JSON: {"schema": schema}}}
        field = message.fields_by_name[form.body]
        described = {"description": self._contracts.comment(field.full_name)}
        inner = _message_of(field)
        if inner.full_name == RAW:
            return {**described, "required": True, "content": {"*/*": {"schema": _bytes()}}}
        prefix = f"{form.body}."
        bound = {path.removeprefix(prefix) for path in form.template.fields if path.startswith(prefix)}
        schema = self._schemas.inline(inner, bound) if bound else self._schemas.message(inner)
        return {**described, "required": self._schemas.required(field), "content": {_JSON: {"schema": schema}}}

    def _success(self, method: MethodDescriptor) -> dict[str, object]:
        message = method.output_type
        if message.full_name == RAW:
            return {"description": "The bytes, with their own Content-Type.", "content": {"*/*": {"schema": {}}}}
        described = {"description": self._contracts.comment(message.full_name) or "The answer."}
        schema = self._schemas.message(message)
        if not method.server_streaming:
            return {**described, "content": {_JSON: {"schema": schema}}}
        text = f"Server-sent events without end or until the last one: each `data:` line is one {message.name} as JSON."
        stream: Schema = {"type": "string", "description": text}
        return {**described, "content": {_SSE: {"schema": stream, "x-event": schema}}}


def _message_of(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is not a message")
    return field.message_type


def _bytes() -> Schema:
    return {"type": "string", "format": "binary"}


def _at(message: Descriptor, path: str) -> FieldDescriptor:
    *parents, last = path.split(".")
    for name in parents:
        message = _message_of(message.fields_by_name[name])
    return message.fields_by_name[last]
