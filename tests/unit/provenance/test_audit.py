"""What an audit chain promises whatever its entries hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_provenance.domain.audit import (
    AUDIT_ACTION_FIELDS,
    EMPTY_CHAIN,
    ROOT_DIGEST,
    AuditAction,
    ChainedEntry,
    ChainPosition,
    Entry,
    SignedStatement,
    Statement,
    canonical_json,
    entry_digest,
    entry_members,
    format_time,
    from_base64url,
    link_entry,
    parse_time,
    statement_bytes,
    to_base64url,
)
from svc_provenance.domain.audit_check import MAX_FAULTS, ChainCheck

NOW = datetime(2026, 11, 20, 10, 0, 0, 5, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
AUDIT_ACTIONS = st.builds(AuditAction, **dict.fromkeys(AUDIT_ACTION_FIELDS, TEXT))
ENTRIES = st.builds(
    Entry, chain=st.just("acme"), sequence=st.integers(1, 2**53 - 1), audit_id=TEXT, occurred_at=MOMENTS,
    recorded_at=MOMENTS, audit_action=AUDIT_ACTIONS,
)  # fmt: skip
CHAINS = st.lists(ENTRIES, min_size=2, max_size=8)


def chained(entries: list[Entry]) -> list[ChainedEntry]:
    """Entries in a chain, whatever places they had."""
    end, made = EMPTY_CHAIN, []
    for entry in entries:
        made.append(link_entry(end, replace(entry, sequence=end.sequence + 1)))
        end = made[-1].position
    return made


def faults(chain: list[ChainedEntry], head: ChainPosition | None = None) -> list[tuple[int, str]]:
    check = ChainCheck("acme", EMPTY_CHAIN)
    for one in chain:
        check.add_entry(one)
    check.compare_head(head or (chain[-1].position if chain else None))
    return [(fault.sequence, str(fault.kind)) for fault in check.faults]


@given(ENTRIES, ENTRIES)
def test_two_entries_have_one_canonical_form_only_when_they_are_equal(one: Entry, other: Entry) -> None:
    assert (canonical_json(entry_members(one)) == canonical_json(entry_members(other))) == (one == other)


@given(ENTRIES, st.sampled_from([item.name for item in fields(Entry) if item.name != "audit_action"]))
def test_every_field_of_an_entry_is_in_its_digest(entry: Entry, name: str) -> None:
    value = getattr(entry, name)
    other = value + timedelta(microseconds=1) if isinstance(value, datetime) else value + type(value)(1)
    changes: dict[str, Any] = {name: other}
    assert entry_digest(ROOT_DIGEST, replace(entry, **changes)) != entry_digest(ROOT_DIGEST, entry)


@given(ENTRIES, st.sampled_from(AUDIT_ACTION_FIELDS))
def test_every_field_of_an_audit_action_is_in_its_digest(entry: Entry, name: str) -> None:
    audit_action = replace(entry.audit_action, **{name: getattr(entry.audit_action, name) + "x"})
    assert entry_digest(ROOT_DIGEST, replace(entry, audit_action=audit_action)) != entry_digest(ROOT_DIGEST, entry)


def test_the_canonical_form_is_the_documented_one() -> None:
    audit_action = AuditAction(**{name: name for name in AUDIT_ACTION_FIELDS})
    audit_action = replace(audit_action, reason='a "quote"\\, a\nline,\x01\x7f é €')
    entry = Entry("acme", 7, "id", NOW, NOW.replace(microsecond=0), audit_action)
    expected = (
        '{"action":"action","actor":"actor","after_digest":"after_digest","audit_id":"id",'
        '"before_digest":"before_digest","chain":"acme","context":"context","decision":"decision",'
        '"occur_time":"2026-11-20T10:00:00.000005Z","policy_id":"policy_id",'
        '"reason":"a \\"quote\\"\\\\, a\\nline,\\u0001\x7f é €","record_time":"2026-11-20T10:00:00.000000Z",'
        '"resource_id":"resource_id","resource_type":"resource_type","sequence":7,"subject":"subject",'
        '"trace_id":"trace_id"}'
    ).encode()
    assert canonical_json(entry_members(entry)) == expected
    assert entry_digest(ROOT_DIGEST, entry) == hashlib.sha256(bytes(32) + expected).digest()


@given(ENTRIES)
def test_the_canonical_form_is_json_of_the_same_values(entry: Entry) -> None:
    assert json.loads(canonical_json(entry_members(entry))) == entry_members(entry)


@given(MOMENTS)
def test_a_moment_is_read_back_from_its_text(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment
    assert len(format_time(moment)) == len("2026-11-20T10:00:00.000005Z")


@given(st.binary(max_size=70))
def test_bytes_are_read_back_from_base64url(data: bytes) -> None:
    assert from_base64url(to_base64url(data)) == data


def test_one_statement_never_stands_for_another() -> None:
    said = {statement_bytes(kind, "acme", ChainPosition(3, ROOT_DIGEST), NOW) for kind in Statement}
    assert len(said) == len(Statement)


def test_an_entry_is_linked_to_the_one_before_it_alone() -> None:
    entry = Entry("acme", 3, "id", NOW, NOW, AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "x")))
    with pytest.raises(ValueError, match="does not follow"):
        link_entry(EMPTY_CHAIN, entry)


@given(CHAINS)
def test_an_unbroken_chain_has_no_fault(entries: list[Entry]) -> None:
    assert faults(chained(entries)) == []


@given(CHAINS, st.data())
def test_a_missing_entry_is_found_at_its_place(entries: list[Entry], data: st.DataObject) -> None:
    chain = chained(entries)
    at = data.draw(st.integers(1, len(chain)))
    kind = "TRUNCATED" if at == len(chain) else "MISSING"
    assert faults([one for one in chain if one.entry.sequence != at], chain[-1].position) == [(at, kind)]


@given(CHAINS, st.data())
def test_a_changed_entry_is_found_at_its_place(entries: list[Entry], data: st.DataObject) -> None:
    chain = chained(entries)
    at = data.draw(st.integers(0, len(chain) - 1))
    old = chain[at]
    audit_action = replace(old.entry.audit_action, reason=old.entry.audit_action.reason + "!")
    chain[at] = replace(old, entry=replace(old.entry, audit_action=audit_action))
    assert faults(chain) == [(at + 1, "CHANGED")]


@given(CHAINS, st.data())
def test_a_digest_made_to_fit_a_change_breaks_the_link_behind_it(entries: list[Entry], data: st.DataObject) -> None:
    chain = chained(entries)
    at = data.draw(st.integers(0, len(chain) - 1))
    old = chain[at]
    audit_action = replace(old.entry.audit_action, reason=old.entry.audit_action.reason + "!")
    head = chain[-1].position
    chain[at] = link_entry(ChainPosition(at, old.previous_digest), replace(old.entry, audit_action=audit_action))
    assert faults(chain, head) == [(min(at + 2, len(chain)), "BROKEN_LINK")]


def test_an_anchor_tells_a_chain_that_was_made_anew() -> None:
    chain = chained(
        [Entry("acme", 1, str(n), NOW, NOW, AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "x"))) for n in range(3)]
    )
    check = ChainCheck("acme", EMPTY_CHAIN)
    for one in chain:
        check.add_entry(one)
    check.compare_anchor(SignedStatement("acme", ChainPosition(3, ROOT_DIGEST), NOW, 1, b""), chain[-1])
    check.compare_newest_anchor(
        SignedStatement("acme", ChainPosition(5, ROOT_DIGEST), NOW, 1, b""), recorded=9, listed=5
    )
    assert [(fault.sequence, str(fault.kind)) for fault in check.faults] == [
        (3, "ANCHOR_MISMATCH"), (4, "TRUNCATED"), (9, "ANCHOR_MISMATCH"),
    ]  # fmt: skip


def test_a_pass_that_starts_in_the_middle_trusts_the_entry_before() -> None:
    chain = chained(
        [Entry("acme", 1, str(n), NOW, NOW, AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "x"))) for n in range(4)]
    )
    check = ChainCheck("acme", ChainPosition(2, b""), previous_digest_unknown=True)
    for one in chain[2:]:
        check.add_entry(one)
    check.compare_head(chain[-1].position)
    assert (check.faults, check.entries, check.first_sequence) == ([], 2, 3)


def test_only_so_many_faults_are_told() -> None:
    check = ChainCheck("acme", EMPTY_CHAIN)
    for place in range(MAX_FAULTS + 5):
        check.add_forged_anchor(place)
    assert len(check.faults) == MAX_FAULTS
