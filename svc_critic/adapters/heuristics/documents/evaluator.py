"""Chooses the reader of a document and judges what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import Undecodable
from svc_critic.adapters.heuristics.documents.html import outline_of_html
from svc_critic.adapters.heuristics.documents.markdown import outline_of_markdown
from svc_critic.adapters.heuristics.documents.pdf import outline_of_pdf
from svc_critic.domain.judgement import Code, hopeless
from svc_critic.domain.outline import examine_outline
from svc_critic.domain.ports import Examination
from svc_critic.domain.specimen import Kind

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measuring import Measuring
    from svc_critic.domain.judgement import Facet
    from svc_critic.domain.outline import Outline
    from svc_critic.domain.specimen import Brief, Specimen

_HTML = ("text/html", "application/xhtml+xml")


class DocumentHeuristics:
    """Measures how documents are built. It does not know whether what they say is true."""

    name = "heuristics/document"
    kinds = frozenset({Kind.DOCUMENT})

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring

    async def examine(self, tenant_id: str, specimen: Specimen, brief: Brief) -> Examination:
        """Measures, beside the event loop."""
        return Examination(await self._measuring.run(tenant_id, _examine, specimen, brief))


def _examine(specimen: Specimen, brief: Brief) -> tuple[Facet, ...]:
    try:
        return examine_outline(_outline(specimen), brief)
    except Undecodable as error:
        return hopeless(Code.UNDECODABLE, str(error), f"It cannot be opened: {error}.")


def _outline(specimen: Specimen) -> Outline:
    media = specimen.media_type.partition(";")[0].strip().lower()
    if media == "application/pdf":
        return outline_of_pdf(specimen.content)
    if b"\0" in specimen.content:
        raise Undecodable("the bytes are not text")
    text = specimen.content.decode("utf-8", "replace")
    return outline_of_html(text) if media in _HTML else outline_of_markdown(text)
