"""Rubrics: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.critic.v1 import rubric_pb2
from svc_critic.adapters.postgres import PostgresRubricStore
from svc_critic.app import RubricUseCases
from svc_critic.rpc import RubricServicer
from tests.integration.contexts.audit.observer import CLOCK, IDS, SECRET, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """A rubric's life."""
    servicer = RubricServicer(RubricUseCases(PostgresRubricStore(observer.postgres, auditor), CLOCK, IDS))
    service = "soma.critic.v1.RubricService"
    rubric = {"display_name": SECRET, "criteria": [{"dimension": "clarity", "weight": 1}]}
    create = rubric_pb2.CreateRubricRequest(rubric=rubric)  # type: ignore[arg-type]
    rubric_id = (await observer.call(service, servicer, "CreateRubric", create)).rubric_id  # type: ignore[attr-defined]
    update = rubric_pb2.UpdateRubricRequest(rubric_id=rubric_id, rubric=rubric)  # type: ignore[arg-type]
    await observer.call(service, servicer, "UpdateRubric", update)
    await observer.call(service, servicer, "DeleteRubric", rubric_pb2.DeleteRubricRequest(rubric_id=rubric_id))


AUDIT = ContextAudit(
    drive,
    audited={
        "RubricService.CreateRubric": Entry("rubric.write", "rubric"),
        "RubricService.UpdateRubric": Entry("rubric.write", "rubric"),
        "RubricService.DeleteRubric": Entry("rubric.write", "rubric"),
    },
    not_audited={
        "CriticService.Evaluate": "an evaluation is a fact, and changes nothing that was there",
    },
)
