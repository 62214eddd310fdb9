"""What contexts tell each other is redacted by whoever tells it; without that the same check is loud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import FieldViolation, Reason, SomaError
from mesh.ids import SystemIds
from mesh.redaction import Redactor
from mesh.rpc.status import to_status
from soma.events.v1 import facts_pb2
from svc_critic.domain.evaluation import Evaluation
from svc_critic.domain.evaluation import Origin as Judged
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scoring import CriterionScore, Feedback
from svc_critic.events.published import evaluation_done
from svc_executor.domain.job import (
    CallerIdentity,
    Execution,
    ExecutionContent,
    ExecutionStatus,
    Job,
    JobOptions,
    SelectedCapability,
    Step,
)
from svc_executor.domain.task_dsl import StepType, Task
from svc_executor.domain.timeline import ExecutionFact, JobFact, StepFact
from svc_executor.events.published import EventEncoder
from tests.chaos.contexts.canaries.generated import ENCODINGS, Scanner, generate_canaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from svc_executor.domain.timeline import Fact

SEED = 20261124
CANARIES = generate_canaries(SEED)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
IDS = SystemIds()
TASK = Task("a", 0, StepType.GENERATE_DIAGRAM, "diagram", "image_diagram")
JOB = Job(IDS.new(), CallerIdentity("t", "user-1"), JobOptions(), NOW)
CHOSEN = SelectedCapability("tool@local", "tool", "local", "adapter")
EXECUTION = Execution(
    IDS.new(), JOB.job_id, "a", 0, 1, "generate_diagram", "diagram", CHOSEN, IDS.new(), "key",
    status=ExecutionStatus.FAILED, started_at=NOW, ended_at=NOW,
)  # fmt: skip


def attempt(text: str) -> bytes:
    """The event of an attempt that was asked for, failed and was repeated with such words."""
    told = replace(
        EXECUTION, content=ExecutionContent({"prompt": text, text: [text]}), prompt=text, error_message=text,
        fallback_reason=text, rework_reason=text,
    )  # fmt: skip
    return _event(ExecutionFact(told, "user-1"))


def job(text: str) -> bytes:
    """The event of a job with such a title."""
    return _event(
        JobFact(replace(JOB, title=text, message=text), [Step(JOB.job_id, TASK, text=text, message=text).summary])
    )


def step(text: str) -> bytes:
    """The event of a step that says this."""
    return _event(StepFact(Step(JOB.job_id, TASK, text=text, message=text)))


def verdict(text: str) -> bytes:
    """The event of a verdict on an asset that says this."""
    score = CriterionScore(Dimension.RELEVANCE, 0.1, 0.6, 0.3, passes=False, evidence=text)
    feedback = Feedback(Dimension.RELEVANCE, "NOT_RELEVANT", text, {"missing": [text]})
    evaluation = Evaluation(
        IDS.new(), "t", IDS.new(), "diagram", False, 0.1, 0.6, (score,), (feedback,), "heuristic", "", 1, 0, 1,
        Judged(), NOW,
    )  # fmt: skip
    return evaluation_done(evaluation).payload


def refusal(text: str) -> bytes:
    """The status of an error that quotes what was given."""
    error = SomaError(Reason.INVALID_ARGUMENT, text, metadata={"given": text}, fields=[FieldViolation(text, text)])
    return to_status(error).SerializeToString()


SENDERS = (attempt, job, step, verdict, refusal)


def _event(fact: Fact) -> bytes:
    return EventEncoder(IDS, SystemClock())(fact, JOB).payload


def found(make: Callable[[str], bytes], encoding: str) -> set[str]:
    return {name for content in sent(make, encoding) for name in Scanner(CANARIES).find(content)}


def sent(make: Callable[[str], bytes], encoding: str) -> Iterator[bytes]:
    for canary in CANARIES:
        yield make(f"draw {ENCODINGS[encoding](canary.text)} please")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("make", SENDERS, ids=lambda make: make.__name__)
def test_nothing_that_is_sent_holds_a_canary(make: Callable[[str], bytes], encoding: str) -> None:
    assert found(make, encoding) == set()


@pytest.mark.parametrize("make", SENDERS, ids=lambda make: make.__name__)
def test_planted_with_redaction_off_all_fifty_are_found(
    make: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redactor, "text", lambda _, value: value)
    assert len({name.partition(" ")[0] for name in found(make, "plain")}) == len(CANARIES)


def test_what_was_taken_out_is_counted_for_the_record() -> None:
    fact = facts_pb2.ExecutionFinished.FromString(attempt("to ann@example.com"))
    assert fact.redactions["email"] > 0
    assert "[email]" in fact.prompt
