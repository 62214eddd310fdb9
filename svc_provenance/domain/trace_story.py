"""Writes the story of a trace for people: why a capability was selected, what it cost, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_provenance.domain.model import AttemptKind, Judgement, StepState
from svc_provenance.domain.selection_story import reason, rejections, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.domain.job_entries import JobEntries, Totals
    from svc_provenance.domain.model import Attempt, EvaluationSummary, SelectionSummary, StepSummary

_SECOND_MS = 1_000
_STEP_RESULTS = {
    StepState.SUCCEEDED: ("succeeded", "succeeded"),
    StepState.FAILED: ("failed", "failed"),
    StepState.SKIPPED: ("was skipped", "were skipped"),
    StepState.CANCELLED: ("was cancelled", "were cancelled"),
}
"""The verb for one step that ended so, and for several."""


def step_story(step: StepSummary, entries: JobEntries) -> str:
    """Returns a paragraph about a step: each attempt with its reason, its cost and its result."""
    sentences: list[str] = []
    described: set[str] = set()
    attempts = entries.attempts_of(step.step_id)
    for attempt in attempts:
        selection = entries.selections.get(attempt.selection_id)
        own = selection if selection is not None and selection.selection_id not in described else None
        described.add(attempt.selection_id)
        sentences.append(_attempt_reason(attempt, own))
        sentences.append(_attempt_result(attempt, own, entries.evaluations.get(attempt.evaluation_id)))
    made = {attempt.attempt for attempt in attempts}
    for selection in entries.selections_without_attempt(step.step_id):
        replaced = selection.attempt in made
        sentences.append(_unused_selection(selection, ended=entries.ended, first=not sentences, replaced=replaced))
    if not sentences:
        sentences.append("Nothing was tried.")
    if step.message and step.state.ended:
        sentences.append(f"The step {_STEP_RESULTS[step.state][0]}: {_sentence(step.message)}")
    return " ".join(sentences)


def job_story(entries: JobEntries, totals: Totals) -> str:
    """Returns a few sentences about the whole job."""
    sentences = [_job_result(entries, totals), _step_counts(entries), _cost(totals)]
    sentences += [_fallbacks(entries), _reworks(entries), _rejections(entries)]
    if totals.mean_quality is not None:
        sentences.append(f"What was accepted scored {totals.mean_quality:.2f} on average.")
    if entries.job is not None and entries.job.ended and entries.job.message:
        sentences.append(f"Reason given: {_sentence(entries.job.message)}")
    return " ".join(part for part in sentences if part)


def _attempt_reason(attempt: Attempt, selection: SelectionSummary | None) -> str:
    start = f"Attempt {attempt.attempt}"
    if attempt.kind is AttemptKind.REWORK:
        return f"{start} reworked it with {attempt.capability_id} because {_sentence(attempt.rework_reason)}"
    if attempt.kind is AttemptKind.FALLBACK:
        start = f"{start} fell back to {attempt.capability_id} after {attempt.fallback_reason.rstrip('.')}"
    else:
        start = f"{start} used {attempt.capability_id}"
    if selection is None:
        return f"{start}."
    because = reason(selection)
    link = ". Why: " if attempt.kind is AttemptKind.FALLBACK else ": "
    return f"{start}{link if because else ''}{because}{rejections(selection)}."


def _attempt_result(attempt: Attempt, selection: SelectionSummary | None, evaluation: EvaluationSummary | None) -> str:
    spent = _cost_of_reserved(attempt.cost_micro_usd, selection.reserved_micro_usd if selection else 0)
    if attempt.error_code:
        failure = _sentence(f"{attempt.error_code}: {attempt.error_message}")
        return f"It failed after {_duration(attempt.latency_ms)} and {spent}: {failure}"
    start = f"It took {_duration(attempt.latency_ms)} and {spent}"
    if evaluation is None:
        ended = "" if attempt.accepted else f"; it ended {attempt.status}"
        return f"{start}{ended}."
    texts = "; ".join(fault.rstrip(".") for fault in evaluation.faults)
    faults = f" ({texts})" if texts and not evaluation.passes else ""
    verb = "passed" if evaluation.passes else "refused"
    return f"{start}; the critic {verb} it at {evaluation.score:.2f}{faults}."


def _unused_selection(selection: SelectionSummary, *, ended: bool, first: bool, replaced: bool) -> str:
    because = reason(selection)
    if not selection.chosen:
        start = _capitalized(because) if first and not selection.fallback_reason else f"Then {_uncapitalized(because)}"
        return f"{start}{rejections(selection)}."
    number = selection.attempt
    if replaced:
        return f"{selection.chosen} had been chosen for attempt {number} before; another choice replaced that."
    if ended:
        return f"{selection.chosen} was chosen for attempt {number}, which did not come to an end."
    return f"Attempt {number} is under way with {selection.chosen}: {because}."


def _job_result(entries: JobEntries, totals: Totals) -> str:
    job = entries.job
    name = f"Job “{job.title}”" if job and job.title else "The job"
    if job is None or not job.ended:
        return f"{name} is under way."
    ended = {
        "completed": "completed",
        "partial": "ended with a part of its results",
        "failed": "failed",
        "cancelled": "was cancelled",
    }.get(job.state, job.state)
    took = f" after {_duration(totals.elapsed_ms)}" if totals.elapsed_ms is not None else ""
    waited = f", {_duration(totals.queue_ms)} of it waiting to start" if took and totals.queue_ms else ""
    return f"{name} {ended}{took}{waited}."


def _step_counts(entries: JobEntries) -> str:
    steps = entries.steps if entries.job else ()
    if not steps:
        return ""
    done = sum(step.state == StepState.SUCCEEDED for step in steps)
    others = [
        f"{', '.join(names)} {_STEP_RESULTS[state][len(names) > 1]}"
        for state in (StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED)
        if (names := [step.step_id for step in steps if step.state == state])
    ]
    tail = f"; {'; '.join(others)}" if others else ""
    return f"{done} of {_count(len(steps), 'step')} succeeded{tail}."


def _cost(totals: Totals) -> str:
    if not totals.attempts:
        return "Nothing was tried, and nothing spent."
    spent = _cost_of_reserved(totals.cost_micro_usd, totals.reserved_micro_usd)
    evaluations = f", the verdicts {usd(totals.evaluation_micro_usd)}" if totals.evaluation_micro_usd else ""
    failed = ""
    if totals.failures:
        failed = f"; {totals.failures} of them failed" if totals.attempts > 1 else "; it failed"
    return f"{_count(totals.attempts, 'attempt')} {spent}{evaluations}{failed}."


def _fallbacks(entries: JobEntries) -> str:
    made = [a for a in _attempts_in_order(entries) if a.kind is AttemptKind.FALLBACK]
    sentences = [f"step {a.step_id} fell back to {a.capability_id} after {a.fallback_reason.rstrip('.')}" for a in made]
    return f"{_list(sentences)}." if sentences else ""


def _reworks(entries: JobEntries) -> str:
    made = [a for a in _attempts_in_order(entries) if a.kind is AttemptKind.REWORK]
    sentences = [f"step {a.step_id} was reworked because {_sentence(a.rework_reason).rstrip('.')}" for a in made]
    return f"{_list(sentences)}." if sentences else ""


def _rejections(entries: JobEntries) -> str:
    selections = entries.selections.values()
    by_policy = sorted({name for each in selections for name in each.rejected_by(Judgement.POLICY)})
    by_budget = sorted({name for each in selections for name in each.rejected_by(Judgement.BUDGET)})
    sentence = f"Policy denied {', '.join(by_policy)}." if by_policy else ""
    budget = f"The budget did not bear {', '.join(by_budget)}." if by_budget else ""
    return " ".join(part for part in (sentence, budget) if part)


def _attempts_in_order(entries: JobEntries) -> Sequence[Attempt]:
    return [attempt for step in entries.steps for attempt in entries.attempts_of(step.step_id)]


def _list(parts: Sequence[str]) -> str:
    return "; ".join([_capitalized(parts[0]), *parts[1:]])


def _cost_of_reserved(cost: int, reserved: int) -> str:
    if not cost:
        return f"cost nothing of {usd(reserved)} reserved" if reserved else "cost nothing"
    return f"cost {usd(cost)} of {usd(reserved)} reserved" if reserved else f"cost {usd(cost)}"


def _duration(milliseconds: int) -> str:
    return f"{milliseconds / _SECOND_MS:.1f} s" if milliseconds >= _SECOND_MS else f"{milliseconds} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sentence(text: str) -> str:
    return f"{text.replace('.; ', '; ').rstrip('. ')}."


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _uncapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]
