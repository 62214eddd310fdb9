"""What a step is given: its parameters with references replaced, and the assets that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_providers.port import DEFAULT_OUTPUT_TOKENS, with_feedback
from svc_executor.domain.prompts import CRITIC_PARAMS
from svc_executor.domain.references import ReferenceKind, references, resolve_params, stored_input
from svc_executor.domain.task_dsl import StepType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import Feedback, JsonValue
    from svc_executor.domain.job import Execution, Step
    from svc_executor.domain.task_dsl import Task


MAX_INSERTED_CHARS = 1_000_000
"""Most characters that references may bring into the params of one task, a text counted each time it is named."""
MAX_TEXT_CHARS = MAX_INSERTED_CHARS + 1
"""Most characters of its text that a step keeps: so many that to name a text which was longer is still refused."""


MAX_INPUT_FILES = 200
MAX_INPUT_BYTES = 256 * 1024 * 1024
"""Most files, and bytes of them together, that are read for one attempt or one comparison."""

LARGE_INPUT_BYTES = 8 * 1024 * 1024
"""Inputs of more bytes are large: a process holds those of a few attempts at once."""


class InputsTooLargeError(Exception):
    """Params that would become too large with the texts they name, or too large assets; text for people."""


class InputBudget:
    """The files that may still be read for one attempt, or one comparison, which holds them all in memory."""

    def __init__(self) -> None:
        self._files = MAX_INPUT_FILES
        self._bytes = MAX_INPUT_BYTES

    def spend(self, size_bytes: int) -> None:
        """Count one file, before it is read. Raises InputsTooLargeError for one too many."""
        self._files -= 1
        self._bytes -= size_bytes
        if self._files < 0 or self._bytes < 0:
            raise InputsTooLargeError(f"more than {MAX_INPUT_FILES} files or {MAX_INPUT_BYTES // 2**20} MiB of inputs")


@dataclass(frozen=True)
class AssetInput:
    """Assets that go in under one name, the main one first."""

    name: str
    asset_ids: tuple[str, ...]


def resolved_params(task: Task, steps: Mapping[str, Step]) -> dict[str, JsonValue]:
    """The params of a task with the texts of earlier steps in place; a step without a result gives no text.

    A reference to a text that was erased stays as it is written. Raises InputsTooLargeError before a text of too many
    is put in place.
    """

    inserted = 0

    def text_of(step_id: str) -> str:
        nonlocal inserted
        step = steps.get(step_id)
        if step is not None and step.erased:
            return f"${{{step_id}.text}}"
        text = step.text if step is not None else ""
        inserted += len(text)
        if inserted > MAX_INSERTED_CHARS:
            raise InputsTooLargeError(
                f"{task.task_id}: the texts of other steps in its params have more than {MAX_INSERTED_CHARS:,} "
                "characters together"
            )
        return text

    return resolve_params(task.params, text_of)


def asset_inputs(task: Task, steps: Mapping[str, Step]) -> list[AssetInput]:
    """The assets that the params of a task name, each source once; steps without a result are left out."""
    found: dict[str, AssetInput] = {}
    for reference in references(dict(task.params)):
        if reference.kind is ReferenceKind.STORED_ASSET:
            name = stored_input(reference.target)
            found[name] = AssetInput(name, (reference.target,))
        elif reference.kind is ReferenceKind.STEP_ASSET and reference.target in steps:
            assets = steps[reference.target].asset_ids
            if assets:
                found[reference.target] = AssetInput(reference.target, assets)
    return list(found.values())


def referenced_steps(task: Task) -> list[str]:
    """Steps whose asset or text the params name, each once."""
    kinds = {ReferenceKind.STEP_ASSET, ReferenceKind.STEP_TEXT}
    return list(dict.fromkeys(found.target for found in references(dict(task.params)) if found.kind in kinds))


def provider_params(task: Task, params: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The params without those that only the critic reads; a tool's params are its own."""
    if task.step_type is StepType.INVOKE_TOOL:
        return dict(params)
    return {name: value for name, value in params.items() if name not in CRITIC_PARAMS}


def call_params(task: Task, params: Mapping[str, JsonValue], defaults: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What a provider is called with: the params over the capability's `defaults`.

    `max_tokens` is at most the plan's `max_output_tokens`, also where a text does not name it.
    """
    merged = {**defaults, **provider_params(task, params)}
    max_tokens, limit = merged.get("max_tokens"), task.constraints.get("max_output_tokens")
    if max_tokens is None and task.step_type is StepType.GENERATE_TEXT:
        max_tokens = DEFAULT_OUTPUT_TOKENS
    if isinstance(max_tokens, (int, float)) and isinstance(limit, (int, float)):
        merged["max_tokens"] = min(max_tokens, int(limit))
    return merged


def with_feedback_in_prompt(
    task: Task, params: Mapping[str, JsonValue], feedback: Sequence[Feedback]
) -> dict[str, JsonValue]:
    """The params of a new try of a text: what the critic found wrong with the last is told where there is a prompt."""
    if not feedback or task.step_type is not StepType.GENERATE_TEXT:
        return dict(params)
    if isinstance(params.get("prompt"), str):
        return {**params, "prompt": with_feedback(str(params["prompt"]), feedback)}
    messages = params.get("messages")
    if isinstance(messages, list):
        return {**params, "messages": [*messages, {"role": "user", "content": with_feedback("", feedback).strip()}]}
    return dict(params)


def origin_of(execution: Execution, checksum_sha256: str) -> dict[str, JsonValue]:
    """Where an input of a document comes from, for its provenance summary."""
    return {
        "asset_id": execution.asset_ids[0] if execution.asset_ids else "",
        "capability_id": execution.capability.capability_id,
        "model": execution.model,
        "selection_id": execution.selection_id,
        "execution_id": execution.execution_id,
        "checksum_sha256": checksum_sha256,
        "quality_score": execution.quality_score,
        "cost_micro_usd": execution.cost_micro_usd,
        "latency_ms": execution.latency_ms,
        "license": execution.capability.license,
    }
