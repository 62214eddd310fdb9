"""How degraded the mesh is, in one enum for all contexts; its numbers are those of the contract."""

from __future__ import annotations

from enum import IntEnum


class DegradationLevel(IntEnum):
    """How much of the mesh is lost; UNKNOWN where nobody can say, and for a number that this version does not know."""

    UNKNOWN = 0
    NONE = 1
    MINOR = 2
    MODERATE = 3
    SEVERE = 4
    CRITICAL = 5

    @classmethod
    def _missing_(cls, value: object) -> DegradationLevel:  # noqa: ARG003
        return cls.UNKNOWN

    @classmethod
    def from_severity(cls, severity: int) -> DegradationLevel:
        """The level of that severity; UNKNOWN for a number that is none."""
        return next((level for level in cls if level.severity == severity), cls.UNKNOWN)

    @property
    def severity(self) -> int:
        """Place in the order of severity, from 0: an unknown level counts as worse than all others, 5."""
        return self - 1 if self else len(DegradationLevel) - 1
