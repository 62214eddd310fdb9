"""Joins the facts of a job into one story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_provenance.domain.model import Attempt, Choice, Kind, Run, StepNote, Stored, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from svc_provenance.domain.model import Fact

ACCEPTED = "succeeded"


@dataclass(frozen=True)
class AttemptStory:
    """One attempt by its facts' ids; empty where there is none."""

    attempt: int
    selection_id: str
    execution_id: str
    evaluation_id: str
    asset_ids: tuple[str, ...]


@dataclass(frozen=True)
class StepStory:
    """One step; `story` is a paragraph for people."""

    note: StepNote
    attempts: tuple[AttemptStory, ...]
    story: str


@dataclass(frozen=True)
class Totals:
    """Sums over all attempts; `mean_quality` over accepted ones that were judged."""

    attempts: int
    fallbacks: int
    reworks: int
    cost_micro_usd: int
    provider_ms: int
    mean_quality: float | None


@dataclass(frozen=True)
class Trace:
    """The joined story. `complete` when the job ended and every fact that another names has arrived."""

    run: Run | None
    steps: tuple[StepStory, ...]
    totals: Totals
    policy_ids: tuple[str, ...]
    trace_ids: tuple[str, ...]
    complete: bool


class _Facts:
    """Facts by kind."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.choices: dict[str, Choice] = {}
        self.attempts: dict[str, Attempt] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.assets: dict[str, Stored] = {}
        self.run: Run | None = None
        for fact in facts:
            self._add(fact)

    def _add(self, fact: Fact) -> None:
        match fact.summary:
            case Choice() as choice:
                self.choices[choice.selection_id] = choice
            case Attempt() as attempt:
                self.attempts[attempt.execution_id] = attempt
            case Verdict() as verdict:
                self.verdicts[verdict.evaluation_id] = verdict
            case Stored() as stored:
                self.assets[stored.asset_id] = stored
            case Run() as run:
                self.run = run

    def missing(self) -> bool:
        """True while a fact is named that has not arrived."""
        for attempt in self.attempts.values():
            named = (attempt.selection_id, self.choices), (attempt.evaluation_id, self.verdicts)
            if any(id_ and id_ not in known for id_, known in named):
                return True
            if any(id_ not in self.assets for id_ in attempt.asset_ids):
                return True
        steps = self.run.steps if self.run else ()
        seen = [attempt.step_id for attempt in self.attempts.values()]
        return any(seen.count(step.step_id) < step.attempts for step in steps)


def join(facts: Iterable[Fact]) -> Trace:
    """The story of a job, in whatever order its facts arrived."""
    known = _Facts(facts)
    steps = tuple(_step(note, known) for note in _notes(known))
    attempts = list(known.attempts.values())
    judged = [a.quality for a in attempts if a.quality is not None and a.status == ACCEPTED]
    totals = Totals(
        attempts=len(attempts),
        fallbacks=sum(bool(a.fallback_reason) for a in attempts),
        reworks=sum(bool(a.rework_reason) for a in attempts),
        cost_micro_usd=sum(a.cost_micro_usd for a in attempts),
        provider_ms=sum(a.latency_ms for a in attempts),
        mean_quality=sum(judged) / len(judged) if judged else None,
    )
    trace_ids = {a.trace_id for a in attempts} | {known.run.trace_id if known.run else ""}
    return Trace(
        run=known.run,
        steps=steps,
        totals=totals,
        policy_ids=tuple(sorted({c.policy_id for c in known.choices.values()} - {""})),
        trace_ids=tuple(sorted(trace_ids - {""})),
        complete=known.run is not None and known.run.ended and not known.missing(),
    )


def _notes(known: _Facts) -> Sequence[StepNote]:
    """Steps in the order of the plan; before the job's own word, in the order of their names."""
    if known.run is not None and known.run.steps:
        return known.run.steps
    names = {(a.step_id, a.step_type) for a in known.attempts.values()}
    names |= {(c.step_id, "") for c in known.choices.values() if c.step_id not in {name for name, _ in names}}
    return [StepNote(step_id, step_type, "") for step_id, step_type in sorted(names)]


def _step(note: StepNote, known: _Facts) -> StepStory:
    attempts = sorted((a for a in known.attempts.values() if a.step_id == note.step_id), key=lambda a: a.attempt)
    used = {a.selection_id for a in attempts}
    fruitless = sorted(
        (c for c in known.choices.values() if c.step_id == note.step_id and c.selection_id not in used),
        key=lambda c: c.selection_id,
    )
    told: set[str] = set()
    stories = []
    for attempt in attempts:
        first_use = attempt.selection_id if attempt.selection_id not in told else ""
        told.add(attempt.selection_id)
        assets = tuple(id_ for id_ in attempt.asset_ids if id_ in known.assets)
        stories.append(AttemptStory(attempt.attempt, first_use, attempt.execution_id, attempt.evaluation_id, assets))
    stories += [AttemptStory(choice.attempt, choice.selection_id, "", "", ()) for choice in fruitless]
    sentences = [_sentence(a, known.choices.get(a.selection_id), known.verdicts) for a in attempts]
    sentences += [f"Then {_lower(choice.reason)}." for choice in fruitless if not choice.chosen]
    return StepStory(note, tuple(stories), " ".join(sentences) or "Nothing was tried.")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sentence(attempt: Attempt, choice: Choice | None, verdicts: Mapping[str, Verdict]) -> str:
    if attempt.rework_reason:
        start = f"Attempt {attempt.attempt} reworked it with {attempt.capability_id} because {attempt.rework_reason}"
    elif attempt.fallback_reason:
        start = f"Attempt {attempt.attempt} fell back to {attempt.capability_id} after {attempt.fallback_reason}"
    else:
        start = f"Attempt {attempt.attempt} used {attempt.capability_id}"
    reason = choice.reason.removeprefix(f"after {choice.fallback_reason}: ") if choice else ""
    why = f" ({reason})" if reason and not attempt.rework_reason else ""
    told = choice.left_out if choice and not attempt.rework_reason else ()
    out = f"; left out: {'; '.join(told)}" if told else ""
    return f"{start}{why}{out}; {_ending(attempt, verdicts.get(attempt.evaluation_id))}."


def _ending(attempt: Attempt, verdict: Verdict | None) -> str:
    spent = f"in {attempt.latency_ms} ms for {attempt.cost_micro_usd / 1_000_000:.4f} USD"
    if attempt.error:
        return f"it failed {spent}: {attempt.error}"
    if verdict is None:
        return f"it ended {attempt.status} {spent}"
    faults = f" ({'; '.join(verdict.faults)})" if verdict.faults and not verdict.passes else ""
    word = "passed" if verdict.passes else "refused"
    return f"it ended {spent}, and the critic {word} it at {verdict.score:.2f}{faults}"


def documents(facts: Iterable[Fact], kind: Kind) -> dict[str, bytes]:
    """The documents of one kind by id."""
    return {fact.fact_id: fact.document for fact in facts if fact.kind is kind}
