"""The judgements that need nothing from outside: candidates, allow-lists, exclusion, health, cost and order."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from svc_selector.domain.decision import Ranked, Rejection
from svc_selector.domain.model import (
    Ask,
    CostTier,
    Health,
    Judgement,
    Ladder,
    Lifecycle,
    Need,
    Offer,
    Prices,
    Source,
    Subject,
    Units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


_MILLION = 1_000_000
_TIERS = tuple(CostTier)
_UP_TO = ((10_000, CostTier.LOW), (100_000, CostTier.MEDIUM), (1_000_000, CostTier.HIGH))
"""What a call of a tier costs at most, in millionths of a US dollar."""


def _over(needed: float, limit: float, code: str, what: str) -> Iterator[tuple[str, str]]:
    if limit and needed > limit:
        yield code, f"{what} of {needed:g} is above its limit of {limit:g}"


def obstacles(offer: Offer, need: Need) -> Iterator[tuple[str, str]]:
    """What stands between an offer and a need, parameters aside: code and sentence."""
    limits = offer.limits
    if offer.lifecycle is Lifecycle.DISABLED:
        yield "DISABLED", "it is disabled"
    if offer.unusable is not None:
        yield offer.unusable.code, offer.unusable.reason
    if need.task_type not in offer.task_types:
        yield "TASK_TYPE_MISMATCH", f"it serves {', '.join(offer.task_types)}, not {need.task_type}"
    if need.formats and limits.formats and not set(need.formats) & set(limits.formats):
        yield "FORMAT_MISMATCH", f"it makes {', '.join(limits.formats)}, not {', '.join(need.formats)}"
    if need.source_language and need.source_language not in limits.source_languages:
        yield "LANGUAGE_MISMATCH", f"it does not read {need.source_language} sources"
    yield from _over(need.width_px, limits.max_width_px, "TOO_WIDE", "a width in pixels")
    yield from _over(need.height_px, limits.max_height_px, "TOO_HIGH", "a height in pixels")
    yield from _over(need.prompt_chars, limits.max_prompt_chars, "PROMPT_TOO_LONG", "a prompt length in characters")
    yield from _over(need.context_tokens, limits.context_window_tokens, "CONTEXT_TOO_SMALL", "a token count")
    yield from _over(need.duration_s, limits.max_duration_s, "TOO_LONG", "a duration in seconds")


def _listed(value: Iterable[str], allowed: Sequence[str]) -> bool:
    return not allowed or any(item in allowed for item in value)


def not_allowed(offer: Offer, subject: Subject) -> Iterator[tuple[str, str]]:
    """Which allow-list of the offer does not name the subject."""
    if not _listed(subject.roles, offer.roles):
        yield "ROLE_NOT_ALLOWED", f"it is for the roles {', '.join(offer.roles)}"
    if not _listed([subject.persona], offer.personas):
        yield "PERSONA_NOT_ALLOWED", "it is not for this persona"
    if not _listed([subject.capsule], offer.capsules):
        yield "CAPSULE_NOT_ALLOWED", "it is not for this capsule"


def unwell(offer: Offer) -> Iterator[tuple[str, str]]:
    """Why an offer's health takes it out."""
    if offer.circuit_open:
        yield "CIRCUIT_OPEN", offer.health_reason or "its circuit breaker is open"
    elif offer.health is Health.UNHEALTHY:
        yield "UNHEALTHY", offer.health_reason or "its probes fail"


def visible(offer: Offer, tenant_id: str) -> bool:
    """Whether a tenant may know of an offer; those of other tenants are passed over in silence."""
    return offer.owner in ("", tenant_id) and (not offer.tenants or tenant_id in offer.tenants)


def sift(
    offers: Iterable[Offer], ask: Ask, subject: Subject, schema_errors: Mapping[str, str]
) -> tuple[list[Offer], list[Rejection]]:
    """Judgements one to three: those that are left, and the first reason against each of the others.

    `schema_errors` says by capability id what of the parameters does not fit. A forced offer is not asked for its
    health.
    """
    left: list[Offer] = []
    rejected: list[Rejection] = []
    for offer in offers:
        against = next(_against(offer, ask, subject, schema_errors), None)
        if against is None:
            left.append(offer)
        else:
            rejected.append(Rejection(offer.capability_id, *against))
    return left, rejected


def _against(
    offer: Offer, ask: Ask, subject: Subject, schema_errors: Mapping[str, str]
) -> Iterator[tuple[Judgement, str, str]]:
    for code, reason in obstacles(offer, ask.need):
        yield Judgement.CANDIDATES, code, reason
    problem = schema_errors.get(offer.capability_id, "")
    if problem:
        yield Judgement.CANDIDATES, "PARAMS_MISMATCH", f"its parameters do not fit: {problem}"
    if offer.capability_id in ask.exclude:
        yield Judgement.EXCLUDED, "EXCLUDED", "the caller left it out"
    for code, reason in not_allowed(offer, subject):
        yield Judgement.ALLOW_LISTS, code, reason
    if ask.force != offer.capability_id:
        for code, reason in unwell(offer):
            yield Judgement.HEALTH, code, reason


def cost(prices: Prices, units: Units) -> int:
    """Greatest cost of a call in millionths of a US dollar, rounded up once.

    At least 1 where any unit has a price: a call of which no priced unit is estimated may cost something all the same.
    """
    total = _sum(prices, units)
    if prices.finer is None:
        found = math.ceil(total)
    else:
        found = -int(-(total * _MILLION + _sum(prices.finer, units)) // _MILLION)
    return found or int(not prices.free)


def _sum(prices: Prices, units: Units) -> int | Fraction:
    # Exact, so that no amount is lost to rounding and none is too large to be told.
    seconds = int(units.seconds) if units.seconds.is_integer() else Fraction(units.seconds)
    return (
        prices.call * max(units.calls, 1)
        + prices.image * units.images
        + prices.second * seconds
        + prices.input_token * units.input_tokens
        + prices.output_token * units.output_tokens
    )


def tier_in_force(offer: Offer, amount: int) -> CostTier:
    """Tier that an offer is judged by for a call that costs so much: a private one's is not below its prices."""
    if not offer.owner or offer.cost_tier is CostTier.UNSPECIFIED or offer.prices == Prices():
        return offer.cost_tier
    by_prices = next((tier for limit, tier in _UP_TO if amount <= limit), CostTier.PREMIUM)
    return max(offer.cost_tier, by_prices, key=_TIERS.index)


def _preferred(offer: Offer, ask: Ask) -> bool:
    wanted = (ask.preferred_provider, ask.preferred_tool)
    return any(wanted) and wanted[0] in ("", offer.provider) and wanted[1] in ("", offer.tool_id)


def _reason(offer: Offer, ask: Ask, place: int) -> str:
    words = []
    if offer.capability_id == ask.force:
        words.append("forced by the caller")
    if _preferred(offer, ask):
        words.append("preferred by the user")
    words.append(f"rung {place} of the ladder" if place else "not on the ladder")
    if offer.health is Health.DEGRADED:
        words.append("sinks because it is degraded")
    if offer.lifecycle is Lifecycle.DEPRECATED:
        words.append("sinks because it is deprecated")
    return ", ".join(words)


def order(offers: Iterable[Offer], ask: Ask, ladder: Ladder) -> tuple[Ranked, ...]:
    """Judgement six: forced, then well before degraded, current before deprecated, preferred, ladder, cost, name."""
    rung = {id_: place for place, id_ in enumerate(ladder.capability_ids, 1)}

    def key(offer: Offer) -> tuple[bool, bool, bool, bool, float, int, str]:
        return (
            offer.capability_id != ask.force,
            offer.health is Health.DEGRADED,
            offer.lifecycle is Lifecycle.DEPRECATED,
            not _preferred(offer, ask),
            rung.get(offer.capability_id, math.inf),
            cost(offer.prices, ask.units),
            offer.capability_id,
        )

    return tuple(
        Ranked(
            offer,
            rank,
            rung.get(offer.capability_id, 0),
            cost(offer.prices, ask.units),
            _reason(offer, ask, rung.get(offer.capability_id, 0)),
        )
        for rank, offer in enumerate(sorted(offers, key=key), 1)
    )


def source_of(offer: Offer, ask: Ask) -> Source:
    """How the choice of an offer came about."""
    if offer.capability_id == ask.force:
        return Source.FORCED
    if ask.fallback_reason:
        return Source.FALLBACK
    return Source.PREFERENCE if _preferred(offer, ask) else Source.LADDER
