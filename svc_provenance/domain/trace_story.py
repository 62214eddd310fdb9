"""Tells people, in sentences, what was decided and done: why this capability, what it cost, what failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.domain.job_facts import JobFacts, Totals
    from svc_provenance.domain.model import Attempt, EvaluationSummary, SelectionSummary, StepSummary

_SECOND_MS = 1_000
_RUNG = re.compile(r"rung (\d+) of the ladder")
_MICRO = re.compile(r"(\d+) micro-USD")
_STATES = {"succeeded": "succeeded", "failed": "failed", "skipped": "was skipped", "cancelled": "was cancelled"}


def step_story(note: StepSummary, known: JobFacts) -> str:
    """A paragraph about a step: each attempt with its reason, its cost and how it ended."""
    sentences: list[str] = []
    described: set[str] = set()
    attempts = known.attempts_of(note.step_id)
    for attempt in attempts:
        choice = known.selections.get(attempt.selection_id)
        own = choice if choice is not None and choice.selection_id not in described else None
        described.add(attempt.selection_id)
        sentences.append(_why(attempt, own))
        sentences.append(_how(attempt, own, known.verdicts.get(attempt.evaluation_id)))
    made = {attempt.attempt for attempt in attempts}
    for choice in known.unused_of(note.step_id):
        replaced = choice.attempt in made
        sentences.append(_unused(choice, ended=known.ended, first=not sentences, replaced=replaced))
    if not sentences:
        sentences.append("Nothing was tried.")
    if note.message and note.state in _STATES:
        sentences.append(f"The step {_STATES[note.state]}: {_sentence(note.message)}")
    return " ".join(sentences)


def job_story(known: JobFacts, totals: Totals) -> str:
    """A few sentences about the whole job."""
    sentences = [_ending(known, totals), _steps(known), _spending(totals)]
    sentences += [_fallbacks(known), _reworks(known), _denials(known)]
    if totals.mean_quality is not None:
        sentences.append(f"What was accepted scored {totals.mean_quality:.2f} on average.")
    if known.run is not None and known.run.ended and known.run.message:
        sentences.append(f"Reason given: {_sentence(known.run.message)}")
    return " ".join(part for part in sentences if part)


def _why(attempt: Attempt, choice: SelectionSummary | None) -> str:
    start = f"Attempt {attempt.attempt}"
    if attempt.rework_reason:
        return f"{start} reworked it with {attempt.capability_id} because {_sentence(attempt.rework_reason)}"
    if attempt.fallback_reason:
        start = f"{start} fell back to {attempt.capability_id} after {attempt.fallback_reason.rstrip('.')}"
    else:
        start = f"{start} used {attempt.capability_id}"
    if choice is None:
        return f"{start}."
    reason = _bare(choice)
    link = ". Why: " if attempt.fallback_reason else ": "
    chosen = f"{link}{reason}" if reason else ""
    out = f" ({_plain('; '.join(choice.left_out))})" if choice.left_out else ""
    return f"{start}{chosen}{out}."


def _bare(choice: SelectionSummary) -> str:
    """The selector's reason without what the sentence around it says already."""
    reason = (
        choice.reason.removeprefix(f"after {choice.fallback_reason}: ") if choice.fallback_reason else choice.reason
    )
    return _plain(reason.removeprefix(f"{choice.chosen}: ") if choice.chosen else reason)


def _how(attempt: Attempt, choice: SelectionSummary | None, verdict: EvaluationSummary | None) -> str:
    spent = _spent(attempt.cost_micro_usd, choice.reserved_micro_usd if choice else 0)
    if attempt.error:
        return f"It failed after {_time(attempt.latency_ms)} and {spent}: {_sentence(attempt.error)}"
    start = f"It took {_time(attempt.latency_ms)} and {spent}"
    if verdict is None:
        ended = "" if attempt.status == "succeeded" else f"; it ended {attempt.status}"
        return f"{start}{ended}."
    found = "; ".join(fault.rstrip(".") for fault in verdict.faults)
    faults = f" ({found})" if found and not verdict.passes else ""
    word = "passed" if verdict.passes else "refused"
    return f"{start}; the critic {word} it at {verdict.score:.2f}{faults}."


def _plain(text: str) -> str:
    """The selector's words for readers who know nothing of ladders and millionths."""
    text = _RUNG.sub(r"choice \1 in the order of preference", text)
    text = text.replace("not on the ladder", "outside the order of preference")
    return _MICRO.sub(lambda found: _usd(int(found[1])), text)


def _unused(choice: SelectionSummary, *, ended: bool, first: bool, replaced: bool) -> str:
    if not choice.chosen:
        left_out = f" ({_plain('; '.join(choice.left_out))})" if choice.left_out else ""
        reason = _bare(choice)
        start = _upper(reason) if first and not choice.fallback_reason else f"Then {_lower(reason)}"
        return f"{start.rstrip('.')}{left_out}."
    if replaced:
        return f"{choice.chosen} had been chosen for attempt {choice.attempt} before; another choice replaced that."
    if ended:
        return f"{choice.chosen} was chosen for attempt {choice.attempt}, which did not come to an end."
    return f"Attempt {choice.attempt} is under way with {choice.chosen}: {_bare(choice)}."


def _ending(known: JobFacts, totals: Totals) -> str:
    run = known.run
    name = f"Job “{run.title}”" if run and run.title else "The job"
    if run is None or not run.ended:
        return f"{name} is under way."
    ended = {
        "completed": "completed",
        "partial": "ended with a part of its results",
        "failed": "failed",
        "cancelled": "was cancelled",
    }.get(run.state, run.state)
    took = f" after {_time(totals.elapsed_ms)}" if totals.elapsed_ms is not None else ""
    waited = f", {_time(totals.queue_ms)} of it waiting to start" if took and totals.queue_ms else ""
    return f"{name} {ended}{took}{waited}."


def _steps(known: JobFacts) -> str:
    steps = known.run.steps if known.run else ()
    if not steps:
        return ""
    done = sum(step.state == "succeeded" for step in steps)
    others = [
        f"{', '.join(names)} {_STATES[state] if len(names) == 1 else _STATES[state].replace('was', 'were')}"
        for state in ("failed", "skipped", "cancelled")
        if (names := [step.step_id for step in steps if step.state == state])
    ]
    tail = f"; {'; '.join(others)}" if others else ""
    return f"{done} of {_count(len(steps), 'step')} succeeded{tail}."


def _spending(totals: Totals) -> str:
    if not totals.attempts:
        return "Nothing was tried, and nothing spent."
    spent = _spent(totals.cost_micro_usd, totals.reserved_micro_usd)
    judged = f", the verdicts {_usd(totals.evaluation_micro_usd)}" if totals.evaluation_micro_usd else ""
    failed = ""
    if totals.failures:
        failed = f"; {totals.failures} of them failed" if totals.attempts > 1 else "; it failed"
    return f"{_count(totals.attempts, 'attempt')} {spent}{judged}{failed}."


def _fallbacks(known: JobFacts) -> str:
    made = [a for a in _in_order(known) if a.fallback_reason and not a.rework_reason]
    sentences = [f"step {a.step_id} fell back to {a.capability_id} after {a.fallback_reason.rstrip('.')}" for a in made]
    return f"{_list(sentences)}." if sentences else ""


def _reworks(known: JobFacts) -> str:
    made = [a for a in _in_order(known) if a.rework_reason]
    sentences = [f"step {a.step_id} was reworked because {_sentence(a.rework_reason).rstrip('.')}" for a in made]
    return f"{_list(sentences)}." if sentences else ""


def _denials(known: JobFacts) -> str:
    by_policy = sorted({name for choice in known.selections.values() for name in choice.policy_denied})
    by_budget = sorted({name for choice in known.selections.values() for name in choice.budget_denied})
    sentence = f"Policy denied {', '.join(by_policy)}." if by_policy else ""
    budget = f"The budget did not bear {', '.join(by_budget)}." if by_budget else ""
    return " ".join(part for part in (sentence, budget) if part)


def _in_order(known: JobFacts) -> Sequence[Attempt]:
    return [attempt for note in known.notes() for attempt in known.attempts_of(note.step_id)]


def _list(parts: Sequence[str]) -> str:
    return "; ".join([_upper(parts[0]), *parts[1:]])


def _spent(cost: int, reserved: int) -> str:
    if not cost:
        return f"cost nothing of {_usd(reserved)} reserved" if reserved else "cost nothing"
    return f"cost {_usd(cost)} of {_usd(reserved)} reserved" if reserved else f"cost {_usd(cost)}"


def _usd(micro_usd: int) -> str:
    return f"{micro_usd / 1_000_000:.4f} USD"


def _time(milliseconds: int) -> str:
    return f"{milliseconds / _SECOND_MS:.1f} s" if milliseconds >= _SECOND_MS else f"{milliseconds} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sentence(text: str) -> str:
    return f"{text.replace('.; ', '; ').rstrip('. ')}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
