"""What a caller may use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import FieldViolation, Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.domain.model import Subject

CLASSIFICATIONS = ("public", "internal", "sensitive", "confidential")
"""Data classifications, the least strict first."""


@dataclass(frozen=True)
class Permissions:
    """What a tenant and the key of the caller may use; the defaults allow no plan, no persona and no capsule.

    `max_cost_tier` is empty for no limit. A lower data classification is raised to `classification_floor`.
    """

    plan: str = ""
    denied_providers: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    max_cost_tier: str = ""
    classification_floor: str = CLASSIFICATIONS[0]
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()


def apply_permissions(subject: Subject, permissions: Permissions) -> Subject:
    """Returns the subject with its classification raised to the floor.

    PERMISSION_DENIED, naming the field, for a persona or capsule that the caller may not use.
    """
    _check("persona", subject.persona, permissions.personas)
    _check("capsule", subject.capsule, permissions.capsules)
    floor = permissions.classification_floor
    if _strictness(subject.classification) >= _strictness(floor):
        return subject
    return replace(subject, classification=floor, requested_classification=subject.classification)


def _check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value and value not in allowed:
        field = f"subject_context.{name}"
        text = f"this caller may not use the {name}; an administrator of the tenant can allow it"
        raise SomaError(
            Reason.PERMISSION_DENIED,
            f"{field}: {text}",
            metadata={"field": field},
            fields=[FieldViolation(field, text)],
        )


def _strictness(classification: str) -> int:
    """Returns the index of a classification, least strict first; an unknown one is stricter than all."""
    if classification not in CLASSIFICATIONS:
        return len(CLASSIFICATIONS)
    return CLASSIFICATIONS.index(classification)
