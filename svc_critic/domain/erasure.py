"""Assets that are gone, and what verdicts still quote of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErasedAsset:
    """An asset that is gone."""

    tenant_id: str
    asset_id: str
