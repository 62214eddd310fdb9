"""What a provider's manifest says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port.provider import JsonValue


@dataclass(frozen=True)
class Manifest:
    """A capability as its provider's manifest describes it: the fields of the registry's Capability."""

    tool_id: str
    provider: str
    adapter: str
    fields: Mapping[str, JsonValue]

    @property
    def capability_id(self) -> str:
        """Its name in the registry."""
        return f"{self.tool_id}@{self.provider}"
