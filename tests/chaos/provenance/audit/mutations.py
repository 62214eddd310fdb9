"""What one with every power over the database, but not over the signing key, may try to do to a chain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_provenance.adapters.postgres.audit import _APPEND, _chained_entry, _row
from svc_provenance.domain.audit import EMPTY_CHAIN, ChainedEntry, ChainPosition, link_entry

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from tests.chaos.provenance.audit.under_test import AuditUnderTest

from tests.chaos.provenance.audit.under_test import TENANT

Mutation = tuple[str, "Callable[[AuditUnderTest, random.Random], Awaitable[str]]"]
TEXTS = (
    "audit_id", "action", "context", "subject", "actor", "resource_type", "resource_id", "decision", "policy_id",
    "before_digest", "after_digest", "trace_id", "reason",
)  # fmt: skip
_WHERE = f"tenant_id = '{TENANT}' AND sequence"


async def entries(under_test: AuditUnderTest) -> list[ChainedEntry]:
    """The chain as it is kept."""
    rows = await under_test.owner.fetch(f"SELECT * FROM audit_events WHERE tenant_id = '{TENANT}' ORDER BY sequence")
    return [_chained_entry(row) for row in rows]


async def some(under_test: AuditUnderTest, random_source: random.Random, *, below: int = 0) -> int:
    """A place of the chain, before `below` if given."""
    last = await under_test.owner.fetchval(f"SELECT max(sequence) FROM audit_events WHERE tenant_id = '{TENANT}'")
    return random_source.randint(1, (below or last + 1) - 1)


async def anchored(under_test: AuditUnderTest) -> int:
    """Place of the newest anchor."""
    return max(await under_test.anchored_places())


async def rewrite(under_test: AuditUnderTest, chain: Sequence[ChainedEntry], start: int, *, head: bool = True) -> None:
    """Puts other entries in place of those from `start` on, every digest and the head made to fit."""
    end = EMPTY_CHAIN
    written: list[ChainedEntry] = []
    for number, old in enumerate(chain, 1):
        if number < start:
            end = old.position
            continue
        new = link_entry(end, replace(old.entry, sequence=number))
        written.append(new)
        end = new.position
    await under_test.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {start}")
    await under_test.owner.executemany(_APPEND, [_row(one) for one in written])
    if head:
        await set_head(under_test, end)


async def set_head(under_test: AuditUnderTest, end: ChainPosition) -> None:
    await under_test.owner.execute(
        "UPDATE audit_heads SET sequence = $2, digest = $3 WHERE tenant_id = $1", TENANT, end.sequence, end.digest
    )


def change_text(field: str) -> Callable[[AuditUnderTest, random.Random], Awaitable[str]]:
    async def mutate(under_test: AuditUnderTest, random_source: random.Random) -> str:
        at = await some(under_test, random_source)
        how = random_source.choice((f"{field} || 'x'", "''", f"'y' || {field}", f"right({field}, -1)"))
        await under_test.owner.execute(f"UPDATE audit_events SET {field} = {how} WHERE {_WHERE} = {at}")
        return f"{field} of {at} = {how}"

    return mutate


def change_time(field: str) -> Callable[[AuditUnderTest, random.Random], Awaitable[str]]:
    async def mutate(under_test: AuditUnderTest, random_source: random.Random) -> str:
        at, micros = await some(under_test, random_source), random_source.choice((1, -1, 1_000_000, -3_600_000_000))
        await under_test.owner.execute(
            f"UPDATE audit_events SET {field} = {field} + {micros} * interval '1 microsecond' WHERE {_WHERE} = {at}"
        )
        return f"{field} of {at} by {micros} µs"

    return mutate


def change_bytes(field: str) -> Callable[[AuditUnderTest, random.Random], Awaitable[str]]:
    async def mutate(under_test: AuditUnderTest, random_source: random.Random) -> str:
        at, bit = await some(under_test, random_source), random_source.randrange(256)
        await under_test.owner.execute(
            f"UPDATE audit_events SET {field} = set_bit({field}, {bit}, 1 - get_bit({field}, {bit}))"
            f" WHERE {_WHERE} = {at}"
        )
        return f"bit {bit} of {field} of {at}"

    return mutate


async def move_to_another(under_test: AuditUnderTest, random_source: random.Random) -> str:
    at = await some(under_test, random_source)
    await under_test.owner.execute(f"UPDATE audit_events SET tenant_id = 'umbrella' WHERE {_WHERE} = {at}")
    return f"{at} given to another tenant"


async def renumber(under_test: AuditUnderTest, random_source: random.Random) -> str:
    at, to = await some(under_test, random_source), random_source.choice((0, -5, 10_000))
    await under_test.owner.execute(f"UPDATE audit_events SET sequence = {to} WHERE {_WHERE} = {at}")
    return f"{at} becomes {to}"


async def delete(under_test: AuditUnderTest, random_source: random.Random) -> str:
    at, count = await some(under_test, random_source), random_source.choice((1, 1, 2, 30))
    await under_test.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {at} AND sequence < {at + count}")
    return f"{count} from {at}"


async def delete_and_close(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Deletes one and makes all that follow fit."""
    at = await some(under_test, random_source, below=await anchored(under_test) + 1)
    chain = [one for one in await entries(under_test) if one.entry.sequence != at]
    await rewrite(under_test, chain, at)
    return f"{at}, all behind it fit"


async def swap(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Exchanges the contents of two places, digests and all."""
    one = await some(under_test, random_source)
    other = one
    while other == one:
        other = await some(under_test, random_source)
    await under_test.owner.execute(
        f"UPDATE audit_events SET sequence = CASE sequence WHEN {one} THEN {other} ELSE {one} END"
        f" WHERE {_WHERE} IN ({one}, {other})"
    )
    return f"{one} and {other}"


async def reorder(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Shuffles a run of entries; the digests are made to fit, the head is not."""
    chain = await entries(under_test)
    at = random_source.randint(1, len(chain) - 3)
    run = chain[at - 1 : at + 2]
    await rewrite(under_test, [*chain[: at - 1], run[2], run[0], run[1], *chain[at + 2 :]], at, head=False)
    return f"{at} to {at + 2}"


async def truncate(under_test: AuditUnderTest, random_source: random.Random) -> str:
    at = await some(under_test, random_source)
    await under_test.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {at}")
    return f"from {at}"


async def truncate_and_fix_the_head(under_test: AuditUnderTest, random_source: random.Random) -> str:
    at = await some(under_test, random_source, below=await anchored(under_test))
    await under_test.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} > {at}")
    await set_head(under_test, (await entries(under_test))[-1].position)
    return f"behind {at}, and the head"


async def everything(under_test: AuditUnderTest, random_source: random.Random) -> str:
    tables = ["audit_events", "audit_heads", "audit_anchored"]
    for table in tables[: random_source.randint(1, 3)]:
        await under_test.owner.execute(f"DELETE FROM {table} WHERE tenant_id = '{TENANT}'")
    return "all of it"


async def insert(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Puts an entry between two others; the digests behind it and the head are made to fit."""
    chain = await entries(under_test)
    at = await some(under_test, random_source, below=await anchored(under_test) + 1)
    model = chain[at - 1]
    forged = replace(
        model,
        entry=replace(model.entry, audit_id="forged", audit_action=replace(model.entry.audit_action, subject="eve")),
    )
    await rewrite(under_test, [*chain[: at - 1], forged, *chain[at - 1 :]], at)
    return f"before {at}, all behind it fit"


async def change_and_fit(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Changes an entry; the digests behind it and the head are made to fit."""
    chain = await entries(under_test)
    at = await some(under_test, random_source, below=await anchored(under_test) + 1)
    old = chain[at - 1]
    chain[at - 1] = replace(old, entry=replace(old.entry, audit_action=replace(old.entry.audit_action, subject="eve")))
    await rewrite(under_test, chain, at)
    return f"{at}, all behind it fit"


async def append_behind_the_head(under_test: AuditUnderTest, random_source: random.Random) -> str:
    chain = await entries(under_test)
    last = chain[-1]
    forged = link_entry(last.position, replace(last.entry, sequence=last.entry.sequence + 1, audit_id="forged"))
    await under_test.owner.executemany(_APPEND, [_row(forged)])
    return f"{forged.entry.sequence}"


async def duplicate(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Puts a second entry at a place."""
    chain = await entries(under_test)
    old = chain[random_source.randrange(len(chain))]
    later = replace(old.entry, recorded_at=old.entry.recorded_at.replace(microsecond=999_999), audit_id="forged")
    await under_test.owner.executemany(
        _APPEND, [_row(link_entry(ChainPosition(old.entry.sequence - 1, old.previous_digest), later))]
    )
    return f"{old.entry.sequence}"


async def move_the_head(under_test: AuditUnderTest, random_source: random.Random) -> str:
    chain = await entries(under_test)
    await set_head(under_test, chain[random_source.randrange(len(chain) - 1)].position)
    return "back"


async def false_start(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Drops old entries and says, with the signature of an anchor, that they were due to be dropped."""
    place = random_source.choice(await under_test.anchored_places())
    anchor = await under_test.anchors.read(TENANT, place)
    assert anchor is not None
    await under_test.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} <= {place}")
    row = (TENANT, place, anchor.position.digest.hex(), 1, "", anchor.created_at)
    await under_test.owner.execute("INSERT INTO audit_starts VALUES ($1, $2, $3, $4, $5, $6)", *row)
    return f"up to {place}"


async def forge_an_anchor(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Rewrites the chain, and the digest in its anchors, which cannot be signed."""
    said = await change_and_fit(under_test, random_source)
    chain = await entries(under_test)
    for file in under_test.folder.rglob("*.json"):
        old = chain[int(file.stem) - 1].digest.hex()
        head, _, tail = file.read_text().partition('"digest":"')
        file.write_text(f'{head}"digest":"{old}{tail[64:]}')
    return f"{said}, and the anchors"


async def remove_the_newest_anchor(under_test: AuditUnderTest, random_source: random.Random) -> str:
    """Without it, what it said could be changed."""
    place = await anchored(under_test)
    next(under_test.folder.rglob(f"*{place}.json")).unlink()
    return f"{place}"


MUTATIONS: tuple[Mutation, ...] = (
    *((f"change {field}", change_text(field)) for field in TEXTS),
    *((f"change {field}", change_time(field)) for field in ("occurred_at", "recorded_at")),
    *((f"change {field}", change_bytes(field)) for field in ("previous_digest", "digest")),
    *(
        (mutate.__name__.replace("_", " "), mutate)
        for mutate in (
            move_to_another, renumber, delete, delete_and_close, swap, reorder, truncate, truncate_and_fix_the_head,
            everything, insert, change_and_fit, append_behind_the_head, duplicate, move_the_head, false_start,
            forge_an_anchor, remove_the_newest_anchor,
        )
    ),
)  # fmt: skip
