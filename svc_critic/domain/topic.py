"""Whether a result is about what was asked for, told from the words in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.domain.judgement import Code, measurement
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import ramp
from svc_critic.domain.words import is_address, missing, overlap, topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.judgement import Measurement

ENOUGH_OVERLAP = 0.33
_SHOWN = 5
_LEAST_READ = 0.1


def relevance(
    lines: Sequence[str], context: EvaluationContext, what: str, *, read: float = 1.0
) -> tuple[Measurement, ...]:
    """Facets of relevance from the lines of text in a result; none when the request says no words.

    `read` is the share of the result's text that was read: what was not read is not held against it.
    """
    wanted = [label for label in dict.fromkeys(context.expected_labels) if label.strip()]
    if wanted:
        return (_labels(lines, wanted, what, read),)
    return tuple(_topic(lines, context, what))


def _labels(lines: Sequence[str], wanted: Sequence[str], what: str, read: float) -> Measurement:
    absent = missing(wanted, lines)
    found = (len(wanted) - len(absent)) / len(wanted)
    evidence = f"{len(wanted) - len(absent)} of {len(wanted)} expected labels are in {what}"
    if read < 1:
        evidence += f", of which {read:.0%} was read"
    shown = ", ".join(repr(label) for label in absent[:_SHOWN])
    message = f"Labels are missing: {shown}{' and others' * (len(absent) > _SHOWN)}; show every one of them."
    score = ramp(found / max(read, _LEAST_READ), 0.2, 0.95)
    return measurement(Dimension.RELEVANCE, score, evidence, Code.MISSING_LABEL, message, hint={"labels": [*absent]})


def _topic(lines: Sequence[str], context: EvaluationContext, what: str) -> Iterator[Measurement]:
    if is_address(context.request):
        return
    expected, shown = topics(context.request), topics(" ".join(lines))
    if not expected:
        return
    share = overlap(expected, shown)
    common = sorted(word for key, word in expected.items() if key in shown)[:_SHOWN]
    evidence = f"words of the request and of {what} overlap by {share:.0%}"
    evidence += f" ({', '.join(common)})" * bool(common)
    absent = [word for key, word in expected.items() if key not in shown][:_SHOWN]
    message = f"The words of {what} are not those of the request; speak of: {', '.join(absent)}."
    yield measurement(Dimension.RELEVANCE, ramp(share, 0.0, ENOUGH_OVERLAP), evidence, Code.NOT_RELEVANT, message)
