"""Measurements of documents, parsed by their format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.adapters.heuristics.documents.html import parse_html
from svc_critic.adapters.heuristics.documents.markdown import parse_markdown
from svc_critic.adapters.heuristics.documents.pdf import parse_pdf
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind
from svc_critic.domain.outline import measure_outline
from svc_critic.domain.scoring import FeedbackCode, zero_scores

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
    from svc_critic.domain.outline import Outline
    from svc_critic.domain.scoring import Measurement

_HTML = ("text/html", "application/xhtml+xml")


class DocumentHeuristics:
    """Measures the structure of documents. It does not check facts."""

    name = "heuristics/document"
    kinds = frozenset({AssetKind.DOCUMENT})

    def __init__(self, measurement_pool: MeasurementPool) -> None:
        self._measurement_pool = measurement_pool

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures a document in a child process."""
        return EvaluatorResult(await self._measurement_pool.run(tenant_id, _measure, asset, context))


def _measure(asset: EvaluatedAsset, context: EvaluationContext) -> tuple[Measurement, ...]:
    try:
        return measure_outline(_outline(asset), context)
    except UndecodableError as error:
        return zero_scores(FeedbackCode.UNDECODABLE, str(error), f"It cannot be opened: {error}.")


def _outline(asset: EvaluatedAsset) -> Outline:
    media = asset.media_type.partition(";")[0].strip().lower()
    if media == "application/pdf":
        return parse_pdf(asset.content)
    if b"\0" in asset.content:
        raise UndecodableError("the bytes are not text")
    text = asset.content.decode("utf-8", "replace")
    return parse_html(text) if media in _HTML else parse_markdown(text)
