"""Choosing who judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_critic.domain.asset import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_critic.app.ports import Evaluator
    from svc_critic.domain.asset import EvaluatedAsset, Kind


class Evaluators:
    """The evaluators in the order of preference: the first one that knows a kind judges it."""

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self._evaluators = tuple(evaluators)

    def choose(self, asset: EvaluatedAsset) -> tuple[Evaluator, Kind]:
        """Who judges, and as what; UNSUPPORTED_MEDIA_TYPE when nobody can."""
        kind = kind_of(asset.asset_type, asset.media_type)
        for evaluator in self._evaluators:
            if kind in evaluator.kinds:
                return evaluator, kind
        raise SomaError(
            Reason.UNSUPPORTED_MEDIA_TYPE,
            f"no evaluator judges {asset.media_type} ({asset.asset_type or 'no asset type'}); "
            "images, audio, text and documents are judged",
            metadata={"media_type": asset.media_type},
        )
