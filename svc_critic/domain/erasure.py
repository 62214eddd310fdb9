"""Erased assets, of which evaluations may still have quotes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErasedAsset:
    """An asset whose bytes were deleted."""

    tenant_id: str
    asset_id: str
