"""Measurements of relevance, by the words in an asset and in the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement
from svc_critic.domain.words import content_words, is_url, missing_labels, overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.scoring import Measurement

ENOUGH_OVERLAP = 0.33
_MAX_SHOWN = 5
_MIN_READ_SHARE = 0.1


def measure_relevance(
    lines: Sequence[str], context: EvaluationContext, what: str, *, read_share: float = 1.0
) -> tuple[Measurement, ...]:
    """Measures relevance by the lines of text in an asset; returns nothing when the request has no words.

    `read_share` is the share of the text that was read; the rest does not lower the score.
    """
    labels = [label for label in dict.fromkeys(context.expected_labels) if label.strip()]
    if labels:
        return (_labels(lines, labels, what, read_share),)
    return tuple(_overlap_with_request(lines, context, what))


def _labels(lines: Sequence[str], labels: Sequence[str], what: str, read_share: float) -> Measurement:
    absent = missing_labels(labels, lines)
    share = (len(labels) - len(absent)) / len(labels)
    evidence = f"{len(labels) - len(absent)} of {len(labels)} expected labels are in {what}"
    if read_share < 1:
        evidence += f", of which {read_share:.0%} was read"
    shown = ", ".join(repr(label) for label in absent[:_MAX_SHOWN])
    message = f"Labels are missing: {shown}{' and others' * (len(absent) > _MAX_SHOWN)}; show every one of them."
    score = linear_score(share / max(read_share, _MIN_READ_SHARE), 0.2, 0.95)
    return measurement(
        Dimension.RELEVANCE, score, evidence, FeedbackCode.MISSING_LABEL, message, hint={"labels": [*absent]}
    )


def _overlap_with_request(lines: Sequence[str], context: EvaluationContext, what: str) -> Iterator[Measurement]:
    if is_url(context.request):
        return
    expected, shown = content_words(context.request), content_words(" ".join(lines))
    if not expected:
        return
    share = overlap(expected, shown)
    common = sorted(word for key, word in expected.items() if key in shown)[:_MAX_SHOWN]
    evidence = f"words of the request and of {what} overlap by {share:.0%}"
    evidence += f" ({', '.join(common)})" * bool(common)
    absent = [word for key, word in expected.items() if key not in shown][:_MAX_SHOWN]
    message = f"The words of {what} are not those of the request; speak of: {', '.join(absent)}."
    yield measurement(
        Dimension.RELEVANCE, linear_score(share, 0.0, ENOUGH_OVERLAP), evidence, FeedbackCode.NOT_RELEVANT, message
    )
