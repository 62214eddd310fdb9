"""Tells people why a capability was chosen and why others were not, from what the selection says as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_provenance.domain.model import Judgement

if TYPE_CHECKING:
    from svc_provenance.domain.model import RejectedCapability, SelectionBasis, SelectionSummary

_SERVES_OTHERS = {"TASK_TYPE_MISMATCH", "EXCLUDED"}
"""Codes of capabilities that do something else, or that the caller left out itself."""


def reason(selection: SelectionSummary) -> str:
    """Why the choice came out as it did; the selector's own sentence where an earlier version gave no data."""
    if selection.basis is None:
        return selection.reason.rstrip(".")
    return _chosen(selection.basis) if selection.chosen else _nothing_left(selection.basis)


def rejections(selection: SelectionSummary) -> str:
    """Which capabilities could not be chosen, and why, in parentheses; empty for none that is worth telling."""
    told = [_rejection(item) for item in selection.rejected if item.code not in _SERVES_OTHERS]
    return f" ({'; '.join(told)})" if told else ""


def usd(micro_usd: int) -> str:
    """An amount for people."""
    return f"{micro_usd / 1_000_000:.4f} USD"


def _chosen(basis: SelectionBasis) -> str:
    words = []
    if basis.forced:
        words.append("forced by the caller")
    if basis.preferred:
        words.append("preferred by the user")
    place = f"choice {basis.ladder_position} in the order of preference"
    words.append(place if basis.ladder_position else "outside the order of preference")
    if basis.degraded:
        words.append("behind healthy ones because it is degraded")
    if basis.deprecated:
        words.append("behind current ones because it is deprecated")
    others = f"; {basis.alternatives} more could serve" if basis.alternatives else ""
    out = f", {basis.rejections} left out" if basis.rejections else ""
    return f"{', '.join(words)}{others}{out}"


def _nothing_left(basis: SelectionBasis) -> str:
    if not basis.rejections:
        return "nothing could be chosen: no capability serves this"
    left_out = "the only capability was" if basis.rejections == 1 else f"all {basis.rejections} capabilities were"
    return f"nothing could be chosen: {left_out} left out"


def _rejection(item: RejectedCapability) -> str:
    if item.judgement == Judgement.BUDGET and item.cost_micro_usd is not None:
        return f"{item.capability_id}: its cost of {usd(item.cost_micro_usd)} is above what the budget has left"
    return f"{item.capability_id}: {item.reason}"
