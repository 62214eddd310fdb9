"""Redacts the messages of events before they are stored: every text, unless it is named here, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.struct_pb2 import Struct

from mesh.rpc.wellknown import redact

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mesh.redaction import Redactor

Descriptor: TypeAlias = FieldDescriptor
ID, NAME, CODE, DIGEST = "an id made by the mesh", "a name from the registry or a plan", "one of few values", "a digest"
SUBJECT = "a subject as the identity provider names it: provenance says who"

STORED = {
    f"soma.{owner}.{field}": reason
    for owner, reason, fields in (
        ("selector.v1.Selection", ID, "selection_id policy_id trace_id"),
        ("selector.v1.Selection", SUBJECT, "subject actor"),
        ("selector.v1.Selection", CODE, "degradation_level requested_data_classification"),
        ("selector.v1.OmittedParams", DIGEST, "sha256"),
        ("selector.v1.Selection", NAME, "exclude"),
        ("registry.v1.Capability", NAME, "capability_id tool_id provider display_name task_types"),
        ("selector.v1.Ranked", NAME, "capability_id"),
        ("selector.v1.Rejection", NAME, "capability_id"),
        ("selector.v1.Rejection", CODE, "code"),
        ("selector.v1.RankerView", CODE, "mode"),
        ("selector.v1.RankerView", NAME, "shadow_choice"),
        ("selector.v1.BudgetView", ID, "reservation_id"),
        ("registry.v1.Requirements", NAME, "task_type formats source_language"),
        ("selector.v1.SubjectContext", CODE, "data_classification"),
        ("selector.v1.SubjectContext", ID, "session_id job_id"),
        ("selector.v1.SubjectContext", NAME, "persona capsule step_id"),
        ("selector.v1.Preference", NAME, "provider tool_id"),
        ("executor.v1.Execution", ID, "execution_id job_id asset_ids selection_id evaluation_id trace_id span_id"),
        ("executor.v1.Execution", NAME, "step_id tool_id provider step_type"),
        ("executor.v1.Execution", CODE, "error_code"),
        ("events.v1.ExecutionFinished", SUBJECT, "subject"),
        ("events.v1.ExecutionFinished", ID, "input_asset_ids"),
        ("events.v1.ExecutionFinished", CODE, "redactions"),
        ("events.v1.StepChanged", ID, "job_id"),
        ("executor.v1.Job", ID, "job_id session_id trace_id"),
        ("executor.v1.Job", SUBJECT, "created_by"),
        ("executor.v1.Step", NAME, "step_id step_type depends_on capability_id"),
        ("executor.v1.Step", ID, "asset_ids"),
        ("assets.v1.Asset", ID, "asset_id parent_id replaces_id"),
        ("assets.v1.Asset", CODE, "asset_type format media_type classification"),
        ("assets.v1.Asset", DIGEST, "checksum_sha256"),
        ("assets.v1.Asset", SUBJECT, "created_by"),
        ("assets.v1.Origin", ID, "session_id job_id execution_id"),
        ("assets.v1.Origin", NAME, "step_id"),
        ("critic.v1.Evaluation", ID, "evaluation_id asset_id job_id execution_id"),
        ("critic.v1.Evaluation", NAME, "step_id evaluator rubric_id"),
        ("critic.v1.CriterionScore", NAME, "dimension"),
        ("critic.v1.Feedback", NAME, "dimension"),
        ("critic.v1.Feedback", CODE, "code"),
    )
    for field in fields.split()
}
"""Texts that are stored as they are, by the full name of their field, with the reason."""

DROPPED = {
    f"soma.{owner}.{field}"
    for owner, fields in (
        # What a capability is configured with is the registry's; provenance needs its name.
        ("registry.v1.Capability", "adapter description input_schema output_schema default_parameters tags model"),
        ("registry.v1.Capability", "endpoint credential_path license allow health asset_defaults"),
        # The key would let its finder replay a call.
        ("executor.v1.Execution", "idempotency_key"),
        # Content is in the assets.
        ("executor.v1.Step", "text"),
        ("assets.v1.Asset", "metadata"),
    )
    for field in fields.split()
}
"""Fields that are never stored: internals and content."""


def redact_message(message: Message, redactor: Redactor) -> None:
    """Redacts a message and its nested messages in place."""
    if isinstance(message, Struct):
        redact(redactor, message)
        return
    for field, value in message.ListFields():
        if field.full_name in DROPPED or field.type == Descriptor.TYPE_BYTES:
            message.ClearField(field.name)
        elif field.full_name in STORED:
            continue
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            _redact_map(message, field, redactor)
        elif field.type == Descriptor.TYPE_MESSAGE:
            for nested in value if field.is_repeated else [value]:
                redact_message(nested, redactor)
        elif field.type == Descriptor.TYPE_STRING:
            texts = [redactor.text(text) for text in (value if field.is_repeated else [value])]
            message.ClearField(field.name)
            if field.is_repeated:
                getattr(message, field.name).extend(texts)
            else:
                setattr(message, field.name, texts[0])


def _redact_map(message: Message, field: FieldDescriptor, redactor: Redactor) -> None:
    """Redacts the keys and values of a map."""
    entries = dict(getattr(message, field.name))
    message.ClearField(field.name)
    target = getattr(message, field.name)
    for key, value in entries.items():
        name = redactor.text(key) if isinstance(key, str) else key
        if isinstance(value, str):
            target[name] = redactor.text(value)
        elif hasattr(value, "ListFields"):
            redact_message(value, redactor)
            target[name].CopyFrom(value)
        else:
            target[name] = value
