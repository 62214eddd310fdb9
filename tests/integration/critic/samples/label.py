"""A sample with its label."""

from __future__ import annotations

from dataclasses import dataclass

from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext


@dataclass(frozen=True)
class Sample:
    """An asset and whether a person would accept it; `code` is what is wrong with a bad one."""

    name: str
    asset: EvaluatedAsset
    context: EvaluationContext
    good: bool
    code: str = ""


def sample(
    name: str, kind: str, media_type: str, content: bytes, context: EvaluationContext, *, code: str = ""
) -> Sample:
    """A sample that is good unless a code says what is wrong with it."""
    return Sample(name, EvaluatedAsset(name, kind, media_type, content), context, not code, code)
