"""Writes for people why a capability was selected and why others were rejected, from the data of the selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_provenance.domain.model import Judgement

if TYPE_CHECKING:
    from svc_provenance.domain.model import RejectedCapability, SelectionBasis, SelectionSummary

_OMITTED_CODES = {"TASK_TYPE_MISMATCH", "EXCLUDED"}
"""Codes of capabilities that do something else, or that the caller excluded."""


def reason(selection: SelectionSummary) -> str:
    """Returns why a capability was selected; the selector's own sentence where an earlier version sent no data."""
    if selection.basis is None:
        return selection.reason.rstrip(".")
    return _selected(selection.basis) if selection.chosen else _none_selected(selection.basis)


def rejections(selection: SelectionSummary) -> str:
    """Returns which capabilities were rejected, and why, in parentheses; empty for none but `_OMITTED_CODES`."""
    texts = [_rejection(rejected) for rejected in selection.rejected if rejected.code not in _OMITTED_CODES]
    return f" ({'; '.join(texts)})" if texts else ""


def usd(micro_usd: int) -> str:
    """Returns an amount for people."""
    return f"{micro_usd / 1_000_000:.4f} USD"


def _selected(basis: SelectionBasis) -> str:
    parts = []
    if basis.forced:
        parts.append("forced by the caller")
    if basis.preferred:
        parts.append("preferred by the user")
    position = f"choice {basis.ladder_position} in the order of preference"
    parts.append(position if basis.ladder_position else "outside the order of preference")
    if basis.degraded:
        parts.append("behind healthy ones because it is degraded")
    if basis.deprecated:
        parts.append("behind current ones because it is deprecated")
    others = f"; {basis.alternatives} more could serve" if basis.alternatives else ""
    rejected = f", {basis.rejections} left out" if basis.rejections else ""
    return f"{', '.join(parts)}{others}{rejected}"


def _none_selected(basis: SelectionBasis) -> str:
    if not basis.rejections:
        return "nothing could be chosen: no capability serves this"
    left_out = "the only capability was" if basis.rejections == 1 else f"all {basis.rejections} capabilities were"
    return f"nothing could be chosen: {left_out} left out"


def _rejection(rejected: RejectedCapability) -> str:
    if rejected.judgement == Judgement.BUDGET and rejected.cost_micro_usd is not None:
        return f"{rejected.capability_id}: its cost of {usd(rejected.cost_micro_usd)} is above what the budget has left"
    return f"{rejected.capability_id}: {rejected.reason}"
