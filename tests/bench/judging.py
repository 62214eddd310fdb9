"""How long the critic takes for a full-HD picture, beside decoding the same picture."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from PIL import Image

from mesh.clock import SystemClock
from mesh.processes import ProcessLimits, ProcessPool
from svc_critic.adapters.heuristics import MeasurementPool, PictureHeuristics
from svc_critic.domain.asset import AssetKind, EvaluatedAsset, EvaluationContext
from tests.bench.figures import Figure, percentile
from tests.integration.critic.samples.pages import page
from tests.integration.critic.samples.pictures import boxes, jpeg, png, scene
from tests.integration.critic.samples.theme import HELD_OUT, Theme

if TYPE_CHECKING:
    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

PART = "judge"
FULL_HD = (1920, 1080)
ROUNDS, READERS = 3, 2
KINDS = (AssetKind.SCREENSHOT, AssetKind.DIAGRAM, AssetKind.IMAGE)
GOALS = {0.95: "< 500 ms"}


def pictures(theme: Theme) -> list[EvaluatedAsset]:
    """A page, a diagram and a photograph of a theme."""

    def asset(kind: AssetKind, image: Image.Image) -> EvaluatedAsset:
        content = jpeg(image) if kind is AssetKind.IMAGE else png(image)
        return EvaluatedAsset(kind.value, kind.value, "image/png", content)

    return [
        asset(AssetKind.SCREENSHOT, page(theme, theme.subject, theme.sentences * 2).resize(FULL_HD)),
        asset(AssetKind.DIAGRAM, boxes(theme, theme.labels, columns=3).resize(FULL_HD)),
        asset(AssetKind.IMAGE, scene(theme, FULL_HD)),
    ]


def decoding(asset: EvaluatedAsset) -> float:
    """Seconds to decode a picture: the least that any judge of pictures does."""
    began = time.perf_counter()
    with Image.open(io.BytesIO(asset.content)) as image:
        image.load()
    return time.perf_counter() - began


async def measure(_rig: Rig, _baseline: EchoBaseline) -> list[Figure]:
    """The figures of judging, in a child process; the best of some rounds for each picture."""
    judged: list[float] = []
    decoded: list[float] = []
    async with ProcessPool.open("critic", ProcessLimits(processes=1, memory_mb=1_024), SystemClock()) as pool:
        critics = {kind: PictureHeuristics(kind, MeasurementPool(pool), READERS) for kind in KINDS}
        for theme in HELD_OUT:
            for asset in pictures(theme):
                rounds = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    await critics[AssetKind(asset.asset_type)].measure("acme", asset, EvaluationContext(theme.request))
                    rounds.append(time.perf_counter() - began)
                judged.append(min(rounds))
                decoded.append(min(decoding(asset) for _ in range(ROUNDS)))
    return [
        Figure(
            PART,
            f"judging a full-HD picture, p{round(share * 100)}",
            percentile(judged, share) * 1000,
            "ms",
            against="decoding it",
            ratio=percentile(judged, share) / percentile(decoded, share),
            goal=GOALS.get(share, ""),
        )
        for share in (0.5, 0.95)
    ]
