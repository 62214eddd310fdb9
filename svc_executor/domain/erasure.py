"""Assets that are gone, and what jobs still keep of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svc_executor.domain.references import ReferenceKind, references

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from svc_executor.domain.job import Step
    from svc_executor.domain.task_dsl import Task


class ErasedTextError(Exception):
    """Params that name a text which was erased; text for people."""


@dataclass(frozen=True)
class ErasedAsset:
    """An asset that is gone; `job_id` is the job that stored it first, empty when none did."""

    tenant_id: str
    asset_id: str
    job_id: str
    erased_at: datetime


@dataclass(frozen=True)
class ErasedTexts:
    """Steps of a job that lost a text: those whose result had the asset, and those of which any attempt had it."""

    results: frozenset[str] = field(default_factory=frozenset)
    attempts: frozenset[str] = field(default_factory=frozenset)


def text_dependencies(task: Task) -> set[str]:
    """Steps whose text the params name."""
    return {found.target for found in references(dict(task.params)) if found.kind is ReferenceKind.STEP_TEXT}


def check_texts(task: Task, steps: Mapping[str, Step]) -> None:
    """Raises ErasedTextError when the params name a text that was erased."""
    erased = sorted(name for name in text_dependencies(task) if name in steps and steps[name].erased)
    if erased:
        raise ErasedTextError(f"{task.task_id} needs the text of {', '.join(erased)}, which was erased")
