"""A Decision Trace as a tree for a terminal: job, steps, attempts, candidates with their reasons, totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from soma_cli.messages import enum_name, optional
from soma_cli.output import duration, level_text, money, score, state_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma.critic.v1.critic_service_pb2 import Evaluation
    from soma.executor.v1.job_pb2 import Execution
    from soma.provenance.v1.trace_service_pb2 import DecisionTrace, TraceAttempt, TraceStep, TraceTimes
    from soma.selector.v1.selection_pb2 import Ranked, Rejection, Selection

_KINDS = {"FALLBACK": ("fallback", "yellow"), "REWORK": ("rework", "magenta"), "NO_CHOICE": ("no choice", "red")}
_ELSEWHERE = {"TASK_TYPE_MISMATCH", "EXCLUDED"}
_JUDGEMENTS = {"CANDIDATES": "cannot", "ALLOW_LISTS": "not for you", "HEALTH": "health", "POLICY": "policy",
               "BUDGET": "budget", "EXCLUDED": "excluded"}  # fmt: skip
_MICROSECONDS = 1_000


def tree(found: DecisionTrace) -> Tree:
    """The whole trace."""
    job = found.job
    head = Text.assemble((job.title or "job", "bold"), f" {found.id} ")
    state = enum_name(job, "state") if found.HasField("job") else ""
    top = Tree(head.append_text(state_text(state)), guide_style="dim")
    if found.story:
        top.add(Text(found.story, "italic"))
    for step in found.steps:
        _step(top, step)
    _totals(top, found)
    return top


def attempt_line(attempt: TraceAttempt) -> Text:
    """One attempt on one line: what it was, with what, how it ended, its score, its cost, its time."""
    words = Text(f"attempt {attempt.attempt} ")
    kind = _KINDS.get(enum_name(attempt, "kind").removeprefix("TRACE_ATTEMPT_KIND_"))
    if kind is not None:
        words.append(f"[{kind[0]}] ", kind[1])
    capability_id = _capability_id(attempt)
    if capability_id:
        words.append(f"{capability_id} ", "bold")
    run: Execution | None = optional(attempt, "execution")
    if run is None:
        return words.append("under way" if capability_id else "nothing could be chosen", "cyan")
    words.append_text(state_text(enum_name(run, "status")))
    quality = f", quality {score(run.quality_score)}" if run.HasField("quality_score") else ""
    return words.append(f"{quality}, {money(run.cost_micro_usd)}, {duration(run.latency_ms)}")


def _capability_id(attempt: TraceAttempt) -> str:
    """The capability that was tried or is; empty when nothing could be chosen."""
    if attempt.HasField("execution"):
        return f"{attempt.execution.tool_id}@{attempt.execution.provider}"
    return attempt.selection.chosen.capability_id


def _step(above: Tree, step: TraceStep) -> None:
    head = Text.assemble((step.step_id, "bold"), f" {step.step_type} ", state_text(enum_name(step, "state")))
    node = above.add(head)
    for attempt in step.attempts:
        _attempt(node, attempt)
    if step.story:
        node.add(Text(step.story, "italic dim"))


def _attempt(above: Tree, attempt: TraceAttempt) -> None:
    node = above.add(attempt_line(attempt))
    if attempt.cause:
        node.add(Text.assemble(("because ", "yellow"), attempt.cause))
    if attempt.HasField("selection"):
        for candidate in _candidates(attempt.selection):
            node.add(candidate)
    run = attempt.execution
    if run.error_code:
        node.add(Text.assemble(("error ", "red"), f"{run.error_code}: {run.error_message}"))
    if attempt.HasField("evaluation"):
        _verdict(node, attempt.evaluation)
    _spent(node, attempt)


def _candidates(selection: Selection) -> Iterator[Text]:
    chosen = selection.chosen.capability_id
    for ranked in selection.ranked:
        yield _ranked(ranked, chosen=ranked.capability_id == chosen)
    for out in selection.rejected:
        if out.code not in _ELSEWHERE:
            yield _rejected(out)
    others = sum(out.code == "TASK_TYPE_MISMATCH" for out in selection.rejected)
    tried = [out.capability_id for out in selection.rejected if out.code == "EXCLUDED"]
    if tried:
        yield Text(f"- {', '.join(tried)}: tried before", "dim")
    if others:
        yield Text(f"- {others} more {'does' if others == 1 else 'do'} something else", "dim")


def _ranked(item: Ranked, *, chosen: bool) -> Text:
    mark, style = ("* ", "green") if chosen else ("+ ", "dim")
    health = enum_name(item, "health").removeprefix("HEALTH_STATE_").lower()
    why = f" ({item.health_reason})" if item.health_reason and health == "degraded" else ""
    learned = f", score {score(item.score)}" if item.HasField("score") else ""
    cost = f"at most {money(item.estimated_cost_micro_usd)}" if item.estimated_cost_micro_usd else "free"
    rest = f" {item.reason}; {health}{why}, {cost}{learned}"
    return Text.assemble((mark, style), (item.capability_id, style), (rest, "" if chosen else "dim"))


def _rejected(item: Rejection) -> Text:
    word = _JUDGEMENTS.get(enum_name(item, "judgement").removeprefix("JUDGEMENT_"), "out")
    return Text.assemble(("- ", "red"), (item.capability_id, "red"), f" {word}: {item.reason} ({item.code})")


def _verdict(above: Tree, verdict: Evaluation) -> None:
    word, style = ("passed", "green") if verdict.passes else ("refused", "red")
    node = above.add(Text.assemble((f"critic {word} ", style), f"at {score(verdict.score)} ({verdict.evaluator})"))
    for item in verdict.criteria:
        mark = ("ok ", "green") if item.passes else ("no ", "red")
        words = f"{item.dimension} {score(item.score)} of {score(item.threshold)}"
        node.add(Text.assemble(mark, words, (f": {item.evidence}" if item.evidence else "", "dim")))


def _spent(above: Tree, attempt: TraceAttempt) -> None:
    times = [f"{name} {text}" for name, text in _times(attempt.times)]
    cost = attempt.cost
    reserved = f" of {money(cost.reserved_micro_usd)} reserved" if cost.reserved_micro_usd else ""
    judged = f", verdict {money(cost.evaluation_micro_usd)}" if cost.evaluation_micro_usd else ""
    cost_text = f"cost {_price(cost.settled_micro_usd)}{reserved}{judged}" if attempt.HasField("execution") else ""
    parts = [part for part in (cost_text, f"time: {', '.join(times)}" if times else "") if part]
    if parts:
        above.add(Text("; ".join(parts), "dim"))


def _times(times: TraceTimes) -> Iterator[tuple[str, str]]:
    if times.HasField("queue_ms"):
        yield "waited", duration(times.queue_ms)
    if times.HasField("selection_us"):
        yield "choosing", f"{times.selection_us / _MICROSECONDS:.1f} ms"
    for name, field in (("provider", "provider_ms"), ("critic", "evaluation_ms"), ("mesh", "mesh_ms")):
        milliseconds: int | None = optional(times, field)
        if milliseconds is not None:
            yield name, duration(milliseconds)


def _totals(above: Tree, found: DecisionTrace) -> None:
    totals = found.totals
    node = above.add(Text("totals", "bold"))
    counted = {
        "attempt": totals.attempts,
        "failure": totals.failures,
        "fallback": totals.fallbacks,
        "rework": totals.reworks,
        "policy denial": totals.policy_denials,
        "budget denial": totals.budget_denials,
    }
    node.add(", ".join(_count(number, name) for name, number in counted.items() if number or name == "attempt"))
    reserved = f" of {money(totals.reserved_micro_usd)} reserved" if totals.reserved_micro_usd else ""
    judged = f", verdicts {money(totals.evaluation_micro_usd)}" if totals.evaluation_micro_usd else ""
    node.add(f"cost {_price(totals.cost_micro_usd)}{reserved}{judged}")
    elapsed = f"{duration(totals.elapsed_ms)} in all, " if totals.HasField("elapsed_ms") else ""
    critic = f", critic {duration(totals.evaluation_ms)}" if totals.evaluation_ms else ""
    node.add(f"time {elapsed}providers {duration(totals.provider_ms)}{critic}")
    quality = score(optional(totals, "mean_quality"))
    node.add(f"quality {quality}, degradation {level_text(enum_name(found, 'degradation'))}")
    if not found.complete:
        node.add(Text("not complete: facts are still to come", "yellow"))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _price(micro_usd: int) -> str:
    return money(micro_usd) if micro_usd else "nothing"
