"""The rules of receipts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mesh.degradation import DegradationLevel
from svc_provenance.domain.model import (
    Attempt,
    AttemptStatus,
    EntryKind,
    EvaluationSummary,
    Judgement,
    RejectedCapability,
    SelectionSummary,
    TraceEntry,
)
from svc_provenance.domain.receipts import (
    Cause,
    Form,
    JobEnd,
    JobResult,
    Receipt,
    ReceiptAttempt,
    make_receipt,
    trace_digest,
)
from svc_provenance.domain.trace import build_trace

START = datetime(2026, 11, 1, tzinfo=UTC)
ENDING = JobEnd("job", "completed", START, START + timedelta(milliseconds=1500))
LOW = 0.6


def attempt(number: int = 1, **fields: object) -> Attempt:
    plain = Attempt(
        f"x{number}", "a", "t", number, "t@p", AttemptStatus.SUCCEEDED, f"s{number}", f"e{number}", quality=0.9,
        cost_micro_usd=5, latency_ms=100,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def selection(
    id_: str = "s1",
    candidates: int = 2,
    predicted: float | None = None,
    level: DegradationLevel = DegradationLevel.NONE,
    *,
    denied: bool = False,
) -> SelectionSummary:
    rejected = (RejectedCapability("o@p", Judgement.POLICY, "EGRESS_DENIED", "no"),) if denied else ()
    return SelectionSummary(
        id_, "a", 1, "t@p", "why", rejected=rejected, candidates=candidates, predicted_quality=predicted,
        degradation_level=level,
    )  # fmt: skip


def judged(id_: str, score: float, criteria: dict[str, float]) -> EvaluationSummary:
    return EvaluationSummary(id_, "x", passes=True, score=score, criteria=criteria)


def receipt(**fields: object) -> Receipt:
    return make_receipt("acme", JobResult(ENDING, **fields), build_trace([]), "digest", low_quality=LOW)  # type: ignore[arg-type]


def fact(kind: EntryKind, id_: str, document: bytes) -> TraceEntry:
    return TraceEntry(kind, id_, "job", START, SelectionSummary(id_, "a", 1, "t@p", "why"), document)


def test_a_job_in_order_gets_a_compact_receipt() -> None:
    made = receipt(attempts=(attempt(),))
    assert (made.form, made.causes, made.attempt_details) == (Form.COMPACT, (), ())
    assert (made.state, made.latency_ms, made.confidence, made.path) == ("completed", 1500, 1.0, "STANDARD")


def test_low_quality_makes_it_full() -> None:
    made = receipt(attempts=(attempt(quality=0.5),))
    assert (made.form, made.causes) == (Form.FULL, (Cause.LOW_QUALITY,))
    assert made.attempt_details == (ReceiptAttempt.from_attempt(attempt(quality=0.5)),)


def test_quality_at_the_threshold_is_not_low() -> None:
    assert receipt(attempts=(attempt(quality=LOW),)).causes == ()


def test_where_nothing_was_accepted_the_refused_results_count() -> None:
    made = receipt(
        attempts=(attempt(status=AttemptStatus.REJECTED),), evaluations=(judged("e1", 0.2, {"clarity": 0.1}),)
    )
    assert (made.observed_quality, made.causes) == (None, (Cause.LOW_QUALITY,))
    assert made.criterion_scores == {"clarity": 0.1}


def test_a_refused_attempt_does_not_spoil_the_quality_of_the_accepted_one() -> None:
    made = receipt(
        attempts=(attempt(1, status=AttemptStatus.REJECTED, quality=0.1), attempt(2, quality=0.8)),
        evaluations=(judged("e1", 0.1, {"clarity": 0.1}), judged("e2", 0.8, {"clarity": 0.8})),
    )
    assert (made.observed_quality, made.criterion_scores, made.confidence) == (0.8, {"clarity": 0.8}, 0.5)
    assert made.causes == ()


def test_what_policy_left_out_makes_it_full() -> None:
    assert receipt(selections=(selection(denied=True),)).causes == (Cause.POLICY_DENIED,)


def test_a_failed_tool_makes_it_full() -> None:
    failed = attempt(1, status=AttemptStatus.FAILED, error_code="UNAVAILABLE", quality=None)
    assert receipt(attempts=(failed, attempt(2))).causes == (Cause.TOOL_FAILED,)


def test_a_provider_that_rejects_the_content_did_not_fail() -> None:
    rejected = attempt(1, status=AttemptStatus.FAILED, error_code="CONTENT_REJECTED", quality=None)
    assert receipt(attempts=(rejected, attempt(2))).causes == (Cause.PROVIDER_REJECTED,)


def test_a_cancelled_attempt_is_no_failure_of_its_tool() -> None:
    assert (
        receipt(attempts=(attempt(status=AttemptStatus.CANCELLED, error_code="CANCELLED", quality=None),)).causes == ()
    )


def test_quality_is_foreseen_from_what_the_accepted_attempts_chose() -> None:
    selections = (selection("s1", 3, 0.2), selection("s2", 2, 0.7, DegradationLevel.MODERATE))
    made = receipt(selections=selections, attempts=(attempt(1, status=AttemptStatus.REJECTED), attempt(2)))
    assert (made.predicted_quality, made.candidates, made.degradation_level) == (0.7, 3, DegradationLevel.MODERATE)


def test_nothing_foreseen_is_absent() -> None:
    assert receipt(selections=(selection("s1", 3),), attempts=(attempt(),)).predicted_quality is None


def test_a_job_that_never_ran_has_a_receipt_of_zeros() -> None:
    made = make_receipt("acme", JobResult(replace(ENDING, started_at=None)), build_trace([]), "d", low_quality=LOW)
    assert (made.confidence, made.latency_ms, made.candidates, made.observed_quality) == (0.0, 0, 0, None)


def test_the_id_follows_from_tenant_and_job() -> None:
    assert receipt().receipt_id == receipt(attempts=(attempt(),)).receipt_id
    assert (
        receipt().receipt_id != make_receipt("b", JobResult(ENDING), build_trace([]), "d", low_quality=LOW).receipt_id
    )


def test_the_digest_does_not_hang_on_the_order_of_arrival() -> None:
    facts = [fact(EntryKind.SELECTION, "1", b"x"), fact(EntryKind.ASSET, "2", b"y")]
    assert trace_digest("job", facts) == trace_digest("job", facts[::-1])


@given(st.binary(), st.binary())
def test_the_digest_tells_documents_apart(one: bytes, other: bytes) -> None:
    digests = {trace_digest("job", [fact(EntryKind.ASSET, "1", document)]) for document in (one, other)}
    assert len(digests) == len({one, other})


scores = st.none() | st.floats(0, 1)
attempts = st.builds(
    attempt,
    st.integers(1, 5),
    status=st.sampled_from(
        [AttemptStatus.SUCCEEDED, AttemptStatus.FAILED, AttemptStatus.REJECTED, AttemptStatus.CANCELLED]
    ),
    error_code=st.sampled_from(["", "UNAVAILABLE", "CONTENT_REJECTED", "POLICY_DENIED"]),
    quality=scores,
)
picks = st.builds(
    selection,
    st.sampled_from(["s1", "s2"]),
    st.integers(0, 9),
    scores,
    st.sampled_from(DegradationLevel),
    denied=st.booleans(),
)
verdicts = st.builds(
    judged,
    st.sampled_from(["e1", "e2"]),
    st.floats(0, 1),
    st.dictionaries(st.sampled_from("ab"), st.floats(0, 1)),
)


@given(st.lists(attempts).map(tuple), st.lists(picks).map(tuple), st.lists(verdicts).map(tuple))
def test_every_receipt_is_within_its_bounds(
    tried: tuple[Attempt, ...],
    selections: tuple[SelectionSummary, ...],
    evaluations: tuple[EvaluationSummary, ...],
) -> None:
    made = receipt(attempts=tried, selections=selections, evaluations=evaluations)
    shares = [made.confidence, made.predicted_quality, made.observed_quality, *made.criterion_scores.values()]
    assert all(0 <= share <= 1 for share in shares if share is not None)
    assert 0 <= made.degradation_level.severity <= 5
    assert (made.form is Form.FULL) == bool(made.causes)
    assert made.attempt_details == (tuple(map(ReceiptAttempt.from_attempt, tried)) if made.causes else ())
    assert made.compact.attempt_details == ()
    assert made.compact.causes == made.causes
