"""The reconciliation of what clients know with what the mesh tells afterwards: a pure function.

A message is a job or a fact, known by an id that its client made. What its client knows is whether it was accepted, by
an answer that named what came of it. A message that was never accepted may have come to nothing or to one thing; one
that was accepted came to exactly one: a job with one answer at the end of its timeline, an entry of the record, or a
dead letter for what nobody can apply.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class Kind(StrEnum):
    """What a message is, by what must come of it."""

    JOB = "job"
    FACT = "fact"
    POISON = "poison"


class FlawKind(StrEnum):
    """What can be wrong with a message."""

    LOST = "lost"
    """It was accepted and nothing came of it."""
    DOUBLED = "doubled"
    """It came to more than one thing."""
    UNANSWERED = "unanswered"
    """There is a job of it, which has not ended, or has no last event."""
    ANSWERED_TWICE = "answered twice"
    """Its job ended more than once."""
    BOTH = "answered and dead-lettered"
    """It came to a result, and to a dead letter as well; or it is poison and was applied."""
    DEAD_LETTERED = "dead-lettered"
    """It is healthy, and came to nothing but a dead letter."""
    MISNAMED = "misnamed"
    """An acceptance named something else than what came of it."""
    GAP = "gap"
    """The timeline of its job has a gap, or the client saw another than the mesh keeps."""
    RESULT = "result"
    """A step of its job has not exactly one result, or assets that the result does not name."""
    UNRECORDED = "unrecorded"
    """The record does not tell of its job as the executor does, or has not exactly one receipt."""
    CAUSE = "cause"
    """Its dead letter tells another cause than the true one."""
    STRANGER = "stranger"
    """No client sent it."""


@dataclass(frozen=True)
class Sent:
    """What its client knows of a message.

    `answers` are what acceptances named: the ids of jobs, or the message's own id for a fact; none: never accepted.
    `seen` are the sequences of the timeline as the client followed it, `cause` what the dead letter of poison tells.
    """

    message_id: str
    kind: Kind
    answers: tuple[str, ...] = ()
    seen: tuple[int, ...] = ()
    cause: str = ""


@dataclass(frozen=True)
class JobFound:
    """A job as the mesh tells of it; `message_id` is its title.

    `terminals` counts the last events of its timeline, `results` the accepted attempts of each step, `named` the assets
    that its steps name, `stored` those that are there.
    """

    job_id: str
    message_id: str
    state: str
    ended: bool = True
    sequences: tuple[int, ...] = (1, 2, 3)
    terminals: int = 1
    results: Mapping[str, int] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    record: RecordFound | None = None


@dataclass(frozen=True)
class RecordFound:
    """A job as the record tells of it: its trace, and the number of its receipts."""

    state: str
    complete: bool = True
    executions: tuple[str, ...] = ()
    receipts: int = 1


@dataclass(frozen=True)
class Entry:
    """A fact that was applied: one entry of the record."""

    message_id: str
    name: str


@dataclass(frozen=True)
class DeadLetterFound:
    """A dead letter, by the id of the message that its event belongs to."""

    message_id: str
    name: str
    cause: str


@dataclass(frozen=True)
class Findings:
    """All that the mesh tells afterwards."""

    jobs: Sequence[JobFound] = ()
    entries: Sequence[Entry] = ()
    dead_letters: Sequence[DeadLetterFound] = ()


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong."""

    wrong: FlawKind
    message_id: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.message_id}: {self.wrong}: {self.detail}"


_Thing: TypeAlias = JobFound | Entry | DeadLetterFound
_Found = TypeVar("_Found", bound=_Thing)


def reconcile(sent: Iterable[Sent], found: Findings) -> list[Flaw]:
    """Everything that is wrong; nothing: each accepted message has exactly one answer or one dead letter."""
    known = {each.message_id: each for each in sent}
    jobs, entries, dead_letters = _by_message(found.jobs), _by_message(found.entries), _by_message(found.dead_letters)
    flaws = [flaw for each in known.values() for flaw in _judge(each, jobs, entries, dead_letters)]
    everything: Sequence[_Thing] = [*found.jobs, *found.entries, *found.dead_letters]
    strangers = _by_message(item for item in everything if item.message_id not in known)
    flaws += [Flaw(FlawKind.STRANGER, id_, ", ".join(map(_name, items))) for id_, items in strangers.items()]
    return flaws


def _by_message(found: Iterable[_Found]) -> Mapping[str, list[_Found]]:
    parts: defaultdict[str, list[_Found]] = defaultdict(list)
    for item in found:
        parts[item.message_id].append(item)
    return dict(parts)


def _judge(
    sent: Sent,
    jobs: Mapping[str, list[JobFound]],
    entries: Mapping[str, list[Entry]],
    dead_letters: Mapping[str, list[DeadLetterFound]],
) -> Iterator[Flaw]:
    """What is wrong with one message. What came of it is counted first; then each thing is looked at."""
    id_ = sent.message_id
    own_jobs, own_entries, own_dead_letters = jobs.get(id_, []), entries.get(id_, []), dead_letters.get(id_, [])
    ends: Mapping[Kind, Sequence[_Thing]] = {Kind.JOB: own_jobs, Kind.FACT: own_entries, Kind.POISON: own_dead_letters}
    right = ends[sent.kind]
    everything: Sequence[_Thing] = [*own_jobs, *own_entries, *own_dead_letters]
    names = ", ".join(map(_name, everything))
    if sent.answers and not everything:
        yield Flaw(FlawKind.LOST, id_, f"accepted as {', '.join(sent.answers)}")
    if max(len(own_jobs), len(own_entries), len(own_dead_letters)) > 1:
        yield Flaw(FlawKind.DOUBLED, id_, names)
    if len(right) < len(everything):
        dead_lettered = not right and everything == own_dead_letters
        yield Flaw(FlawKind.DEAD_LETTERED if dead_lettered else FlawKind.BOTH, id_, names)
    yield from _misnamed(sent, {_name(item) for item in right} if sent.kind is Kind.JOB else {id_})
    for job in own_jobs:
        yield from _judge_job(sent, job)
    for dead_letter in own_dead_letters:
        if sent.kind is Kind.POISON and dead_letter.cause != sent.cause:
            yield Flaw(FlawKind.CAUSE, id_, f"{dead_letter.cause} in place of {sent.cause}")


def _misnamed(sent: Sent, names: set[str]) -> Iterator[Flaw]:
    if names and not names.issuperset(sent.answers):
        yield Flaw(FlawKind.MISNAMED, sent.message_id, f"{sent.answers} for {sorted(names)}")


def _judge_job(sent: Sent, job: JobFound) -> Iterator[Flaw]:
    id_ = sent.message_id
    if not job.ended or job.terminals == 0:
        yield Flaw(FlawKind.UNANSWERED, id_, f"{job.job_id} is {job.state}, {job.terminals} last events")
        return
    if job.terminals > 1:
        yield Flaw(FlawKind.ANSWERED_TWICE, id_, f"{job.job_id} has {job.terminals} last events")
    whole = tuple(range(1, len(job.sequences) + 1))
    if job.sequences != whole:
        yield Flaw(FlawKind.GAP, id_, f"{job.job_id} keeps {job.sequences}")
    if job.job_id in sent.answers and sent.seen != whole:
        yield Flaw(FlawKind.GAP, id_, f"the client of {job.job_id} saw {sent.seen} of {whole}")
    if any(count != 1 for count in job.results.values()):
        yield Flaw(FlawKind.RESULT, id_, f"results of {job.job_id}: {dict(job.results)}")
    if sorted(job.named) != sorted(job.stored):
        yield Flaw(FlawKind.RESULT, id_, f"{job.job_id} names the assets {job.named}, there are {job.stored}")
    yield from _judge_record(id_, job)


def _judge_record(message_id: str, job: JobFound) -> Iterator[Flaw]:
    record = job.record
    if record is None:
        yield Flaw(FlawKind.UNRECORDED, message_id, f"{job.job_id} is not in the record")
        return
    if not record.complete or record.state != job.state:
        yield Flaw(FlawKind.UNRECORDED, message_id, f"{job.job_id} is {job.state}, its trace tells {record}")
    if record.receipts != 1:
        yield Flaw(FlawKind.UNRECORDED, message_id, f"{job.job_id} has {record.receipts} receipts")
    if len(set(record.executions)) != len(record.executions):
        yield Flaw(FlawKind.UNRECORDED, message_id, f"the trace of {job.job_id} tells an attempt twice")


def _name(item: _Thing) -> str:
    return item.job_id if isinstance(item, JobFound) else item.name
