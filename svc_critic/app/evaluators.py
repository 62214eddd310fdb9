"""The choice of the evaluator of an asset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_critic.domain.asset import asset_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_critic.app.ports import Evaluator
    from svc_critic.domain.asset import AssetKind, EvaluatedAsset


class Evaluators:
    """The evaluators in order of preference: the first one that measures the kind of an asset is chosen."""

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self._evaluators = tuple(evaluators)

    def choose(self, asset: EvaluatedAsset) -> tuple[Evaluator, AssetKind]:
        """Returns the evaluator and the kind of the asset; UNSUPPORTED_MEDIA_TYPE when no evaluator measures it."""
        kind = asset_kind(asset.asset_type, asset.media_type)
        for evaluator in self._evaluators:
            if kind in evaluator.kinds:
                return evaluator, kind
        raise SomaError(
            Reason.UNSUPPORTED_MEDIA_TYPE,
            f"no evaluator judges {asset.media_type} ({asset.asset_type or 'no asset type'}); "
            "images, audio, text and documents are judged",
            metadata={"media_type": asset.media_type},
        )
