"""Assets that are gone, and what verdicts still quote of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class ErasedAsset:
    """An asset that is gone."""

    tenant_id: str
    asset_id: str


class ErasureMarks(Protocol):
    """The assets that are gone, within one transaction."""

    async def mark(self, asset: ErasedAsset, erased_at: datetime, due: datetime) -> None:
        """Note that the asset is gone; if there are verdicts on it, they are due at `due`.

        No verdict that quotes the asset can be recorded once this transaction has ended. Safe to repeat.
        """


class Erasures(Protocol):
    """The erasures that have not reached every verdict yet, of all tenants."""

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        """The asset that has been due longest, if there is one; nobody else is given it before `until`."""

    async def erase_next(self, asset: ErasedAsset, limit: int, due: datetime) -> None:
        """Remove from the next `limit` verdicts on the asset what they may quote of it.

        If there may be others, the asset is due again at `due`.
        """

    async def unfinished(self, most: int) -> int:
        """How many erased assets verdicts may still quote; counts no further than `most`."""


class ErasureMeter(Protocol):
    """Shows operators what is left to be erased."""

    def unfinished_erasures(self, number: int) -> None:
        """Takes in how many erased assets verdicts may still quote."""
