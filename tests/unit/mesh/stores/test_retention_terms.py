"""Which rows retention is to remove, and the month of an id."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import SystemIds, derive
from mesh.stores.partitions import UNKNOWN, month_of
from mesh.stores.retention import DeletionCutoff, RetentionPeriods, deletion_cutoffs

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TENANTS = ("a", "b", "c", "d")
terms = st.builds(
    RetentionPeriods, st.integers(1, 3650), st.dictionaries(st.sampled_from(TENANTS), st.integers(1, 3650))
)


def meant(cut: DeletionCutoff, tenant: str) -> bool:
    return tenant in cut.tenants if cut.tenants is not None else tenant not in cut.others


@given(terms, st.booleans())
def test_every_tenant_has_exactly_one_cut_at_its_own_term(given_terms: RetentionPeriods, by_part: bool) -> None:
    for tenant in (*TENANTS, "stranger"):
        (cut,) = [cut for cut in deletion_cutoffs(given_terms, NOW, partitioned=by_part) if meant(cut, tenant)]
        assert cut.before == NOW - timedelta(days=given_terms.days_by_tenant.get(tenant, given_terms.days))


@given(terms)
def test_dropping_parts_touches_nothing_that_a_tenant_keeps(given_terms: RetentionPeriods) -> None:
    assert all(days <= given_terms.longest for days in (given_terms.days, *given_terms.days_by_tenant.values()))


@given(terms)
def test_only_the_longest_term_is_left_to_parts(given_terms: RetentionPeriods) -> None:
    longest = NOW - timedelta(days=given_terms.longest)
    cuts = [*deletion_cutoffs(given_terms, NOW, partitioned=True)]
    assert longest in {cut.before for cut in cuts}
    assert all(cut.default_partition_only == (cut.before == longest) for cut in cuts)
    rows = [*deletion_cutoffs(given_terms, NOW, partitioned=False)]
    assert longest in {cut.before for cut in rows}
    assert not any(cut.default_partition_only for cut in rows)


def test_the_month_of_an_id_is_the_one_it_was_made_in() -> None:
    assert month_of("019ab000-0000-7000-8000-000000000000") == date(2025, 11, 1)


def test_ids_without_a_moment_have_no_month() -> None:
    for id_ in ("", "job-1", derive("x"), "ffffffff-ffff-7fff-bfff-ffffffffffff", SystemIds().new().upper() + "x"):
        assert month_of(id_) == UNKNOWN
