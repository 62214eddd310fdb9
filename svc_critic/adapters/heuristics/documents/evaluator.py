"""Chooses the reader of a document and judges what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import Undecodable
from svc_critic.adapters.heuristics.documents.html import outline_of_html
from svc_critic.adapters.heuristics.documents.markdown import outline_of_markdown
from svc_critic.adapters.heuristics.documents.pdf import outline_of_pdf
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import Kind
from svc_critic.domain.judgement import Code, zero_scores
from svc_critic.domain.outline import examine_outline

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
    from svc_critic.domain.judgement import Measurement
    from svc_critic.domain.outline import Outline

_HTML = ("text/html", "application/xhtml+xml")


class DocumentHeuristics:
    """Measures how documents are built. It does not know whether what they say is true."""

    name = "heuristics/document"
    kinds = frozenset({Kind.DOCUMENT})

    def __init__(self, measurement_pool: MeasurementPool) -> None:
        self._measurement_pool = measurement_pool

    async def examine(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures, beside the event loop."""
        return EvaluatorResult(await self._measurement_pool.run(tenant_id, _examine, asset, context))


def _examine(asset: EvaluatedAsset, context: EvaluationContext) -> tuple[Measurement, ...]:
    try:
        return examine_outline(_outline(asset), context)
    except Undecodable as error:
        return zero_scores(Code.UNDECODABLE, str(error), f"It cannot be opened: {error}.")


def _outline(asset: EvaluatedAsset) -> Outline:
    media = asset.media_type.partition(";")[0].strip().lower()
    if media == "application/pdf":
        return outline_of_pdf(asset.content)
    if b"\0" in asset.content:
        raise Undecodable("the bytes are not text")
    text = asset.content.decode("utf-8", "replace")
    return outline_of_html(text) if media in _HTML else outline_of_markdown(text)
