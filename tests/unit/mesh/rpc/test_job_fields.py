"""Who may name the job of a record, and every field of the contracts that does so in a request that writes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.identity import SERVICE_ROLE
from mesh.rpc.access import JOB_FIELDS, check_job_fields, has_side_effects, is_service
from soma.critic.v1.critic_service_pb2 import EvaluationContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

GENERATED = Path(__file__).parents[4] / "gen/python"
OF_A_JOB = re.compile(r"^(.*_)?(job|step|execution|task|plan|run|workflow|attempt)_ids?$")

CHECKED = {
    "soma.assets.v1.AssetService.UploadAsset": ("origin", JOB_FIELDS),
    "soma.critic.v1.CriticService.Evaluate": ("context", JOB_FIELDS),
    "soma.selector.v1.SelectorService.Select": ("subject_context", ("job_id", "step_id")),
}
"""Requests that `check_job_fields` holds to its rule; each has a test of its own over gRPC."""
OBJECTS = {
    "soma.assets.v1.AssetService.DeleteAsset job_id": "the hold of a job is given up by who took it, or by a service",
    "soma.executor.v1.JobService.CancelJob job_id": "the job is what is cancelled",
    "soma.executor.v1.JobService.ResumeJob job_id": "the job is what is resumed",
}
"""Fields that name what is changed, and the rule that its owner applies."""


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every contract that may change something."""
    for path in sorted((GENERATED / "soma").rglob("*_pb2.py")):
        name = ".".join(path.relative_to(GENERATED).with_suffix("").parts)
        for service in importlib.import_module(name).DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if has_side_effects(service.full_name, method.name):
                    yield method


def job_fields(message: Descriptor, path: str = "", within: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of the fields that name a job or a part of one, at any depth."""
    if message.full_name in within or message.full_name.startswith("google."):
        return
    for field in message.fields:
        if OF_A_JOB.match(field.name):
            yield path + field.name
        if field.message_type is not None:
            yield from job_fields(field.message_type, f"{path}{field.name}.", (*within, message.full_name))


def test_every_job_that_a_writing_request_names_has_a_rule() -> None:
    found = {f"{method.full_name} {path}" for method in methods() for path in job_fields(method.input_type)}
    checked = {f"{method} {path}.{name}" for method, (path, names) in CHECKED.items() for name in names}
    assert found == checked | set(OBJECTS), "hold a new field to check_job_fields, or say whose rule it follows"


def caller(*roles: str, actor: str = "") -> Caller:
    return Caller("acme", "alice", roles, (), "key", "token", actor)


SERVICES = {"on behalf": caller("member", actor="spiffe://soma/executor"), "itself": caller(SERVICE_ROLE)}
OTHERS = {role: caller(role) for role in ("member", "admin", "platform_admin")}


@pytest.mark.parametrize("who", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("name", JOB_FIELDS)
def test_others_than_services_name_no_part_of_a_job(who: Caller, name: str) -> None:
    assert not is_service(who)
    with pytest.raises(SomaError) as refused:
        check_job_fields(EvaluationContext(**{name: "x"}), "context", who)  # type: ignore[arg-type]
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == [f"context.{name}"]


@pytest.mark.parametrize("who", OTHERS.values(), ids=OTHERS)
def test_others_than_services_may_leave_the_fields_empty(who: Caller) -> None:
    check_job_fields(EvaluationContext(request="Draw a cat"), "context", who)


@pytest.mark.parametrize("who", SERVICES.values(), ids=SERVICES)
def test_a_service_names_the_job_that_it_runs(who: Caller) -> None:
    check_job_fields(EvaluationContext(job_id="j", step_id="a", execution_id="e"), "context", who)
