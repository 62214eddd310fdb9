"""Judging plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.domain.judgement import Code, hopeless
from svc_critic.domain.ports import Examination
from svc_critic.domain.prose import examine_prose
from svc_critic.domain.specimen import Kind

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.measuring import Measuring
    from svc_critic.domain.judgement import Facet
    from svc_critic.domain.specimen import Brief, Specimen

MOST_CHARS = 200_000


class TextHeuristics:
    """Measures text. It does not know whether what it says is true."""

    name = "heuristics/text"
    kinds = frozenset({Kind.TEXT})

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring

    async def examine(self, tenant_id: str, specimen: Specimen, brief: Brief) -> Examination:
        """Measures, beside the event loop."""
        return Examination(await self._measuring.run(tenant_id, _examine, specimen.content, brief))


def _examine(content: bytes, brief: Brief) -> tuple[Facet, ...]:
    if b"\0" in content:
        text = "the bytes are not text"
        return hopeless(Code.UNDECODABLE, text, f"It cannot be read: {text}.")
    return examine_prose(content.decode("utf-8", "replace")[:MOST_CHARS], brief)
