"""A labelled set of good and bad assets, rendered here.

`TUNED` was looked at while bounds were chosen; `HELD_OUT` was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.critic.samples import audio, pages, pictures, texts
from tests.integration.critic.samples.label import Sample
from tests.integration.critic.samples.theme import HELD_OUT, TUNED, Theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HELD_OUT", "TUNED", "Family", "Sample", "Theme", "families"]


@dataclass(frozen=True)
class Family:
    """One kind of asset and what makes its samples."""

    name: str
    make: Callable[[Theme], Iterator[Sample]]


def families() -> tuple[Family, ...]:
    """All of them."""
    return (
        Family("diagrams", pictures.diagrams),
        Family("screenshots", pages.screenshots),
        Family("images", pictures.images),
        Family("audio", audio.recordings),
        Family("texts", texts.texts),
        Family("documents", texts.documents),
    )
