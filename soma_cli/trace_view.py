"""A Decision Trace as a tree for a terminal: job, steps, attempts, candidates with their reasons, totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from soma_cli.messages import enum_name, get_optional
from soma_cli.output import format_duration, format_money, format_score, level_text, state_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma.critic.v1.critic_service_pb2 import Evaluation
    from soma.executor.v1.job_pb2 import Execution
    from soma.provenance.v1.trace_service_pb2 import DecisionTrace, TraceAttempt, TraceStep, TraceTimes
    from soma.selector.v1.selection_pb2 import Ranked, Rejection, Selection

_ATTEMPT_KINDS = {
    "FALLBACK": ("fallback", "yellow"),
    "REWORK": ("rework", "magenta"),
    "NO_CHOICE": ("no choice", "red"),
}
_SUMMARIZED_CODES = {"TASK_TYPE_MISMATCH", "EXCLUDED"}
_REJECTION_LABELS = {"CANDIDATES": "requirements", "ALLOW_LISTS": "allow-list", "HEALTH": "health", "POLICY": "policy",
               "BUDGET": "budget", "EXCLUDED": "excluded"}  # fmt: skip
_MICROSECONDS_PER_MS = 1_000


def build_tree(trace: DecisionTrace) -> Tree:
    """Returns the tree of a trace."""
    job = trace.job
    label = Text.assemble((job.title or "job", "bold"), f" {trace.id} ")
    state = enum_name(job, "state") if trace.HasField("job") else ""
    root = Tree(label.append_text(state_text(state)), guide_style="dim")
    if trace.story:
        root.add(Text(trace.story, "italic"))
    for step in trace.steps:
        _add_step(root, step)
    _add_totals(root, trace)
    return root


def attempt_text(attempt: TraceAttempt) -> Text:
    """Returns an attempt on one line: its number and kind, capability, status, score, cost and time."""
    text = Text(f"attempt {attempt.attempt} ")
    kind = _ATTEMPT_KINDS.get(enum_name(attempt, "kind").removeprefix("TRACE_ATTEMPT_KIND_"))
    if kind is not None:
        text.append(f"[{kind[0]}] ", kind[1])
    capability_id = _capability_id(attempt)
    if capability_id:
        text.append(f"{capability_id} ", "bold")
    run: Execution | None = get_optional(attempt, "execution")
    if run is None:
        return text.append("under way" if capability_id else "nothing could be chosen", "cyan")
    text.append_text(state_text(enum_name(run, "status")))
    quality = f", quality {format_score(run.quality_score)}" if run.HasField("quality_score") else ""
    return text.append(f"{quality}, {format_money(run.cost_micro_usd)}, {format_duration(run.latency_ms)}")


def _capability_id(attempt: TraceAttempt) -> str:
    """Returns the capability of an attempt; empty when none could be selected."""
    if attempt.HasField("execution"):
        return f"{attempt.execution.tool_id}@{attempt.execution.provider}"
    return attempt.selection.chosen.capability_id


def _add_step(parent: Tree, step: TraceStep) -> None:
    label = Text.assemble((step.step_id, "bold"), f" {step.step_type} ", state_text(enum_name(step, "state")))
    node = parent.add(label)
    for attempt in step.attempts:
        _add_attempt(node, attempt)
    if step.story:
        node.add(Text(step.story, "italic dim"))


def _add_attempt(parent: Tree, attempt: TraceAttempt) -> None:
    node = parent.add(attempt_text(attempt))
    if attempt.cause:
        node.add(Text.assemble(("because ", "yellow"), attempt.cause))
    if attempt.HasField("selection"):
        for candidate in _candidate_texts(attempt.selection):
            node.add(candidate)
    run = attempt.execution
    if run.error_code:
        node.add(Text.assemble(("error ", "red"), f"{run.error_code}: {run.error_message}"))
    if attempt.HasField("evaluation"):
        _add_evaluation(node, attempt.evaluation)
    _add_cost_and_time(node, attempt)


def _candidate_texts(selection: Selection) -> Iterator[Text]:
    chosen = selection.chosen.capability_id
    for ranked in selection.ranked:
        yield _ranked_text(ranked, chosen=ranked.capability_id == chosen)
    for rejection in selection.rejected:
        if rejection.code not in _SUMMARIZED_CODES:
            yield _rejected_text(rejection)
    others = sum(rejection.code == "TASK_TYPE_MISMATCH" for rejection in selection.rejected)
    tried = [rejection.capability_id for rejection in selection.rejected if rejection.code == "EXCLUDED"]
    if tried:
        yield Text(f"- {', '.join(tried)}: tried before", "dim")
    if others:
        yield Text(f"- {others} more {'does' if others == 1 else 'do'} something else", "dim")


def _ranked_text(ranked: Ranked, *, chosen: bool) -> Text:
    mark, style = ("* ", "green") if chosen else ("+ ", "dim")
    health = enum_name(ranked, "health").removeprefix("HEALTH_STATE_").lower()
    why = f" ({ranked.health_reason})" if ranked.health_reason and health == "degraded" else ""
    score_text = f", score {format_score(ranked.score)}" if ranked.HasField("score") else ""
    cost = f"at most {format_money(ranked.estimated_cost_micro_usd)}" if ranked.estimated_cost_micro_usd else "free"
    rest = f" {ranked.reason}; {health}{why}, {cost}{score_text}"
    return Text.assemble((mark, style), (ranked.capability_id, style), (rest, "" if chosen else "dim"))


def _rejected_text(rejection: Rejection) -> Text:
    word = _REJECTION_LABELS.get(enum_name(rejection, "judgement").removeprefix("JUDGEMENT_"), "out")
    return Text.assemble(
        ("- ", "red"), (rejection.capability_id, "red"), f" {word}: {rejection.reason} ({rejection.code})"
    )


def _add_evaluation(parent: Tree, evaluation: Evaluation) -> None:
    word, style = ("passed", "green") if evaluation.passes else ("refused", "red")
    node = parent.add(
        Text.assemble((f"critic {word} ", style), f"at {format_score(evaluation.score)} ({evaluation.evaluator})")
    )
    for criterion in evaluation.criteria:
        mark = ("ok ", "green") if criterion.passes else ("no ", "red")
        text = f"{criterion.dimension} {format_score(criterion.score)} of {format_score(criterion.threshold)}"
        node.add(Text.assemble(mark, text, (f": {criterion.evidence}" if criterion.evidence else "", "dim")))


def _add_cost_and_time(parent: Tree, attempt: TraceAttempt) -> None:
    times = [f"{name} {text}" for name, text in _times(attempt.times)]
    cost = attempt.cost
    reserved = f" of {format_money(cost.reserved_micro_usd)} reserved" if cost.reserved_micro_usd else ""
    evaluation_cost = f", verdict {format_money(cost.evaluation_micro_usd)}" if cost.evaluation_micro_usd else ""
    cost_text = (
        f"cost {_format_price(cost.settled_micro_usd)}{reserved}{evaluation_cost}"
        if attempt.HasField("execution")
        else ""
    )
    parts = [part for part in (cost_text, f"time: {', '.join(times)}" if times else "") if part]
    if parts:
        parent.add(Text("; ".join(parts), "dim"))


def _times(times: TraceTimes) -> Iterator[tuple[str, str]]:
    if times.HasField("queue_ms"):
        yield "waited", format_duration(times.queue_ms)
    if times.HasField("selection_us"):
        yield "choosing", f"{times.selection_us / _MICROSECONDS_PER_MS:.1f} ms"
    for name, field in (("provider", "provider_ms"), ("critic", "evaluation_ms"), ("mesh", "mesh_ms")):
        milliseconds: int | None = get_optional(times, field)
        if milliseconds is not None:
            yield name, format_duration(milliseconds)


def _add_totals(parent: Tree, trace: DecisionTrace) -> None:
    totals = trace.totals
    node = parent.add(Text("totals", "bold"))
    counts = {
        "attempt": totals.attempts,
        "failure": totals.failures,
        "fallback": totals.fallbacks,
        "rework": totals.reworks,
        "policy denial": totals.policy_denials,
        "budget denial": totals.budget_denials,
    }
    node.add(", ".join(_format_count(number, name) for name, number in counts.items() if number or name == "attempt"))
    reserved = f" of {format_money(totals.reserved_micro_usd)} reserved" if totals.reserved_micro_usd else ""
    evaluation_cost = f", verdicts {format_money(totals.evaluation_micro_usd)}" if totals.evaluation_micro_usd else ""
    node.add(f"cost {_format_price(totals.cost_micro_usd)}{reserved}{evaluation_cost}")
    elapsed = f"{format_duration(totals.elapsed_ms)} in all, " if totals.HasField("elapsed_ms") else ""
    critic = f", critic {format_duration(totals.evaluation_ms)}" if totals.evaluation_ms else ""
    node.add(f"time {elapsed}providers {format_duration(totals.provider_ms)}{critic}")
    quality = format_score(get_optional(totals, "mean_quality"))
    node.add(f"quality {quality}, degradation {level_text(enum_name(trace, 'degradation'))}")
    if not trace.complete:
        node.add(Text("not complete: facts are still to come", "yellow"))


def _format_count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _format_price(micro_usd: int) -> str:
    return format_money(micro_usd) if micro_usd else "nothing"
