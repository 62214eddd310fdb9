"""Erasing what verdicts quote: all of it goes, one asset that fails holds up no other, operators see what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from google.api.httpbody_pb2 import HttpBody
from prometheus_client import REGISTRY

from mesh.testing import FakeClock
from soma.assets.v1 import asset_pb2
from svc_critic.adapters.metrics import PrometheusMetrics
from svc_critic.adapters.peers import AssetsPeer
from svc_critic.app import EraseQuotes
from svc_critic.domain.erasure import ErasedAsset
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scoring import Feedback
from tests.contract.critic.test_critic_stores import evaluation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    import pytest

BAD, GOOD = ErasedAsset("acme", "bad"), ErasedAsset("acme", "good")
ASSET = "01a22c1e-0508-7000-8316-ff1837c00183"


class FakeErasures:
    """Assets with the number of verdicts that still quote them; those on the bad one cannot be changed."""

    def __init__(self, clock: FakeClock) -> None:
        self.left = {BAD: 3, GOOD: 3}
        self.due = dict.fromkeys(self.left, clock.now())

    async def claim(self, now: datetime, next_claim_at: datetime) -> ErasedAsset | None:
        found = next((asset for asset, due in self.due.items() if due <= now), None)
        if found is not None:
            self.due[found] = next_claim_at
        return found

    async def erase_next(self, asset: ErasedAsset, limit: int, due_at: datetime) -> None:
        if asset == BAD:
            raise ValueError("not a verdict")
        self.left[asset] = max(0, self.left[asset] - limit)
        self.due[asset] = due_at
        if not self.left[asset]:
            del self.due[asset]

    async def count_unfinished(self, limit: int) -> int:
        return min(limit, len(self.due))


class AssetStore:
    """Knows one asset, however its id is written."""

    async def GetAsset(self, request: object) -> asset_pb2.Asset:  # noqa: N802 - the stub names it so
        return asset_pb2.Asset(asset_id=ASSET, status=asset_pb2.ASSET_STATUS_READY, size_bytes=5)

    async def DownloadAsset(self, request: object) -> AsyncIterator[HttpBody]:  # noqa: N802 - the stub names it so
        yield HttpBody(data=b"words")


async def test_an_asset_that_fails_is_tried_again_later_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    erasures = FakeErasures(clock)
    erase_quotes = EraseQuotes(erasures, PrometheusMetrics(), clock, batch_size=2)
    await erase_quotes()
    assert erasures.left == {BAD: 3, GOOD: 0}
    assert "verdicts on asset bad keep what they quote of it" in caplog.text
    assert BAD in erasures.due
    assert await erasures.claim(clock.now(), clock.now()) is None
    await erase_quotes.count_unfinished()
    assert REGISTRY.get_sample_value("critic_erasures_unfinished") == 1


def test_all_that_may_quote_an_asset_is_removed_from_its_verdict() -> None:
    made = evaluation()
    left = made.without_quotes()
    assert left.criteria == (replace(made.criteria[0], evidence=""),)
    assert left.feedback == (Feedback(Dimension.CLARITY, "LOW_CONTRAST", "", {}),)
    assert replace(left, criteria=made.criteria, feedback=made.feedback) == made


async def test_an_asset_has_the_id_that_the_store_writes() -> None:
    """Regression: verdicts asked for in capitals were not found by the erasure of their asset."""
    read = await AssetsPeer(AssetStore(), 100).read(ASSET.upper())  # type: ignore[arg-type]
    assert (read.asset_id, read.content) == (ASSET, b"words")
