"""No text of a fact is kept as it came, unless it is named, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.struct_pb2 import Struct

from mesh.redaction import SUMMARY_CHARS
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.registry.v1 import capability_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.domain.record_redaction import RecordRedactor
from svc_provenance.events.consumed.redaction import DROPPED, STORED
from svc_provenance.events.consumed.traces import TraceEventHandlers
from tests.in_memory.provenance import MemoryProvenanceStore
from tests.unit.provenance.job_builder import JobBuilder
from tests.unit.provenance.sample_jobs import fallback
from tests.unit.provenance.test_decision_trace import as_json, traced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    from mesh.events.event import Event

FACTS = (
    facts_pb2.SelectionMade, facts_pb2.ExecutionFinished, facts_pb2.JobChanged, facts_pb2.AssetStored,
    facts_pb2.EvaluationDone, facts_pb2.StepChanged,
)  # fmt: skip
CANARY = "canary-7f3a@secrets.example.org"
Path = tuple[FieldDescriptor, ...]


def texts(descriptor: Descriptor, above: Path = ()) -> Iterator[Path]:
    """The way to each field of a message that holds text or bytes."""
    for field in descriptor.fields:
        way = (*above, field)
        if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}:
            yield way
        elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type not in {f.message_type for f in above}:
            if field.message_type.full_name == Struct.DESCRIPTOR.full_name:
                yield way
            elif not field.message_type.GetOptions().map_entry:
                yield from texts(field.message_type, way)


def plant(message: Message, way: Path) -> None:
    """Puts the canary at the end of a way."""
    field, *below = way
    target = getattr(message, field.name)
    if below:
        plant(target.add() if field.is_repeated else target, tuple(below))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        (target.add() if field.is_repeated else target).update({CANARY: {"deep": [CANARY, 1]}})
    elif field.is_repeated:
        target.append(CANARY)
    else:
        setattr(message, field.name, CANARY.encode() if field.type == FieldDescriptor.TYPE_BYTES else CANARY)


WAYS = [(kind, way) for kind in FACTS for way in texts(kind.DESCRIPTOR)]


def about_a_job(kind: type[Message]) -> Message:
    """A fact that belongs to a job, empty otherwise."""
    message = kind()
    if isinstance(message, facts_pb2.SelectionMade):
        message.selection.subject_context.job_id = "j"
    elif isinstance(message, facts_pb2.AssetStored):
        message.asset.origin.job_id = "j"
    elif isinstance(message, facts_pb2.EvaluationDone):
        message.evaluation.job_id = "j"
    elif isinstance(message, facts_pb2.ExecutionFinished):
        message.execution.asset_ids.append("a")
    return message


async def kept_of(message: Message) -> str:
    """All that the record keeps of a fact."""
    record = MemoryProvenanceStore()
    [event] = _events(message)
    await TraceEventHandlers(record).handlers()[event.type](None, event)  # type: ignore[arg-type]
    facts = [fact for kept in record._entries.values() for fact in kept.values()]
    assert facts or record._assets
    documents = [fact.document.decode("utf-8", "replace") for fact in facts]
    return f"{facts} {documents} {record._assets}"


def _events(message: Message) -> list[Event]:
    return JobBuilder("redaction").tell(message).events()


@pytest.mark.parametrize(("kind", "way"), WAYS, ids=[".".join(f.name for f in way) for _, way in WAYS])
async def test_a_text_is_redacted_or_named_as_kept(kind: type[Message], way: Path) -> None:
    message = about_a_job(kind)
    plant(message, way)
    named = any(field.full_name in STORED for field in way)
    assert CANARY in str(message) or way[-1].type == FieldDescriptor.TYPE_BYTES
    if not named:
        assert CANARY not in await kept_of(message)


def test_every_name_of_the_lists_is_a_field_that_facts_have() -> None:
    known = {field.full_name for _, way in WAYS for field in way}
    known |= {"soma.events.v1.ExecutionFinished.redactions"}
    assert set(STORED) | DROPPED <= known
    assert not set(STORED) & DROPPED


def test_the_reasons_are_few() -> None:
    assert len(set(STORED.values())) == 5


async def test_a_fact_without_redaction_would_be_caught() -> None:
    message = facts_pb2.JobChanged(job=job_pb2.Job(job_id="j", session_id=CANARY))
    assert CANARY in await kept_of(message)  # session_id is on the list: what is on it, passes


async def test_what_was_taken_out_is_counted_by_kind() -> None:
    counted: list[Mapping[str, int]] = []
    message = facts_pb2.JobChanged(
        job=job_pb2.Job(job_id="j", title="for ann@example.com", message="see 10.0.0.7:8080")
    )
    [event] = _events(message)
    await TraceEventHandlers(MemoryProvenanceStore(), on_redacted=counted.append).job_changed(None, event)
    assert [dict(counts) for counts in counted] == [{"email": 1, "endpoint": 1}]


INTERNALS = [
    ("cannot reach http://127.0.0.1:8188/v1/x: refused", "cannot reach [endpoint]: refused"),
    ("at https://user:pw@models.prod.internal/v2 now", "at [endpoint] now"),
    ("10.1.2.3:5432 and localhost:80", "[endpoint] and [endpoint]"),
    ("model ft:gpt-4o:acme:secret-name:8xYz", "model [model]"),
    ("arn:aws:bedrock:eu-1:123:custom-model/abc", "[model]"),
    ("no file /srv/models/private/weights.gguf here", "no file [path] here"),
]


@pytest.mark.parametrize(("text", "kept"), INTERNALS)
def test_internals_are_taken_out(text: str, kept: str) -> None:
    assert RecordRedactor().text(text) == kept


@pytest.mark.parametrize(
    "text", ["https://example.com/a/b", "version 1.2.3", "matplotlib_chart@local", "gpt-4.1-mini", "and/or either/home"]
)
def test_what_anybody_may_know_stays(text: str) -> None:
    assert RecordRedactor().text(text) == text


async def test_internals_never_appear_in_a_trace() -> None:
    sample = fallback()
    planted = set()
    secrets = "https://10.0.0.9:8443/v1", "providers/openai/key", "idem-key-1", "gpu-only-model", "other-tenant"
    for fact in sample.facts:
        planted.add(type(fact))
        if isinstance(fact, facts_pb2.SelectionMade):
            fact.selection.chosen.MergeFrom(
                capability_pb2.Capability(
                    endpoint=secrets[0], credential_path=secrets[1], model=secrets[3], adapter="openai_images",
                    allow=capability_pb2.AllowLists(tenants=[secrets[4]]),
                )
            )  # fmt: skip
            fact.selection.ranked.append(selection_pb2.Ranked(health_reason=f"{secrets[0]} refused"))
        if isinstance(fact, facts_pb2.ExecutionFinished):
            fact.execution.idempotency_key = secrets[2]
            fact.execution.error_message = f"POST {secrets[0]}/images failed"
    assert planted >= {facts_pb2.SelectionMade, facts_pb2.ExecutionFinished}
    shown = as_json(await traced(sample))
    assert "[endpoint] failed" in shown
    assert [secret for secret in secrets if secret in shown] == []
    assert "adapter" not in shown or "openai_images" not in shown


LONG = "Explain it. " * 100


async def record_of(*, full: bool) -> MemoryProvenanceStore:
    """The record of an attempt with a long prompt, for a tenant that may or may not have it kept."""
    record = MemoryProvenanceStore()
    execution = job_pb2.Execution(execution_id="e", job_id="j", asset_ids=["a"], tool_id="t", provider="p")
    execution.params.update({"prompt": LONG})
    [event] = _events(facts_pb2.ExecutionFinished(execution=execution, prompt=LONG))

    async def allowed(tenant_id: str) -> bool:
        return full and tenant_id == "acme"

    await TraceEventHandlers(record, allows_full_prompts=allowed).execution_finished(None, event)
    return record


async def test_without_policys_leave_a_prompt_is_kept_as_a_summary_alone() -> None:
    record = await record_of(full=False)
    made = record._assets["acme", "a"]
    assert (made.prompt, len(made.prompt_summary), len(str(made.params["prompt"]))) == (
        "",
        SUMMARY_CHARS,
        SUMMARY_CHARS,
    )
    [fact] = await record.trace_entries("acme", "j")
    assert LONG not in fact.document.decode("utf-8", "replace")


async def test_with_policys_leave_the_whole_prompt_is_kept_redacted() -> None:
    record = await record_of(full=True)
    made = record._assets["acme", "a"]
    assert (made.prompt, made.params["prompt"]) == (LONG, LONG)
