"""What one with every power over the database, but not over the signing key, may try to do to a chain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_provenance.adapters.audit import _APPEND, _linked, _row
from svc_provenance.domain.audit import EMPTY, End, Linked, link

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from tests.chaos.audit.ward import Ward

from tests.chaos.audit.ward import TENANT

Mutation = tuple[str, "Callable[[Ward, random.Random], Awaitable[str]]"]
TEXTS = (
    "audit_id", "action", "context", "subject", "actor", "resource_type", "resource_id", "decision", "policy_id",
    "before_digest", "after_digest", "trace_id", "reason",
)  # fmt: skip
_WHERE = f"tenant_id = '{TENANT}' AND sequence"


async def entries(ward: Ward) -> list[Linked]:
    """The chain as it is kept."""
    rows = await ward.owner.fetch(f"SELECT * FROM audit_events WHERE tenant_id = '{TENANT}' ORDER BY sequence")
    return [_linked(row) for row in rows]


async def some(ward: Ward, dice: random.Random, *, below: int = 0) -> int:
    """A place of the chain, before `below` if given."""
    last = await ward.owner.fetchval(f"SELECT max(sequence) FROM audit_events WHERE tenant_id = '{TENANT}'")
    return dice.randint(1, (below or last + 1) - 1)


async def anchored(ward: Ward) -> int:
    """Place of the newest anchor."""
    return max(await ward.anchors.places(TENANT))


async def rewrite(ward: Ward, chain: Sequence[Linked], start: int, *, head: bool = True) -> None:
    """Puts other entries in place of those from `start` on, every digest and the head made to fit."""
    end = EMPTY
    written: list[Linked] = []
    for number, old in enumerate(chain, 1):
        if number < start:
            end = old.end
            continue
        new = link(end, replace(old.entry, sequence=number))
        written.append(new)
        end = new.end
    await ward.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {start}")
    await ward.owner.executemany(_APPEND, [_row(one) for one in written])
    if head:
        await set_head(ward, end)


async def set_head(ward: Ward, end: End) -> None:
    await ward.owner.execute(
        "UPDATE audit_heads SET sequence = $2, digest = $3 WHERE tenant_id = $1", TENANT, end.sequence, end.digest
    )


def change_text(field: str) -> Callable[[Ward, random.Random], Awaitable[str]]:
    async def mutate(ward: Ward, dice: random.Random) -> str:
        at = await some(ward, dice)
        how = dice.choice((f"{field} || 'x'", "''", f"'y' || {field}", f"right({field}, -1)"))
        await ward.owner.execute(f"UPDATE audit_events SET {field} = {how} WHERE {_WHERE} = {at}")
        return f"{field} of {at} = {how}"

    return mutate


def change_time(field: str) -> Callable[[Ward, random.Random], Awaitable[str]]:
    async def mutate(ward: Ward, dice: random.Random) -> str:
        at, micros = await some(ward, dice), dice.choice((1, -1, 1_000_000, -3_600_000_000))
        await ward.owner.execute(
            f"UPDATE audit_events SET {field} = {field} + {micros} * interval '1 microsecond' WHERE {_WHERE} = {at}"
        )
        return f"{field} of {at} by {micros} µs"

    return mutate


def change_bytes(field: str) -> Callable[[Ward, random.Random], Awaitable[str]]:
    async def mutate(ward: Ward, dice: random.Random) -> str:
        at, bit = await some(ward, dice), dice.randrange(256)
        await ward.owner.execute(
            f"UPDATE audit_events SET {field} = set_bit({field}, {bit}, 1 - get_bit({field}, {bit}))"
            f" WHERE {_WHERE} = {at}"
        )
        return f"bit {bit} of {field} of {at}"

    return mutate


async def move_to_another(ward: Ward, dice: random.Random) -> str:
    at = await some(ward, dice)
    await ward.owner.execute(f"UPDATE audit_events SET tenant_id = 'umbrella' WHERE {_WHERE} = {at}")
    return f"{at} given to another tenant"


async def renumber(ward: Ward, dice: random.Random) -> str:
    at, to = await some(ward, dice), dice.choice((0, -5, 10_000))
    await ward.owner.execute(f"UPDATE audit_events SET sequence = {to} WHERE {_WHERE} = {at}")
    return f"{at} becomes {to}"


async def delete(ward: Ward, dice: random.Random) -> str:
    at, count = await some(ward, dice), dice.choice((1, 1, 2, 30))
    await ward.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {at} AND sequence < {at + count}")
    return f"{count} from {at}"


async def delete_and_close(ward: Ward, dice: random.Random) -> str:
    """Deletes one and makes all that follow fit."""
    at = await some(ward, dice, below=await anchored(ward) + 1)
    chain = [one for one in await entries(ward) if one.entry.sequence != at]
    await rewrite(ward, chain, at)
    return f"{at}, all behind it fit"


async def swap(ward: Ward, dice: random.Random) -> str:
    """Exchanges the contents of two places, digests and all."""
    one = await some(ward, dice)
    other = one
    while other == one:
        other = await some(ward, dice)
    await ward.owner.execute(
        f"UPDATE audit_events SET sequence = CASE sequence WHEN {one} THEN {other} ELSE {one} END"
        f" WHERE {_WHERE} IN ({one}, {other})"
    )
    return f"{one} and {other}"


async def reorder(ward: Ward, dice: random.Random) -> str:
    """Shuffles a run of entries; the digests are made to fit, the head is not."""
    chain = await entries(ward)
    at = dice.randint(1, len(chain) - 3)
    run = chain[at - 1 : at + 2]
    await rewrite(ward, [*chain[: at - 1], run[2], run[0], run[1], *chain[at + 2 :]], at, head=False)
    return f"{at} to {at + 2}"


async def truncate(ward: Ward, dice: random.Random) -> str:
    at = await some(ward, dice)
    await ward.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} >= {at}")
    return f"from {at}"


async def truncate_and_fix_the_head(ward: Ward, dice: random.Random) -> str:
    at = await some(ward, dice, below=await anchored(ward))
    await ward.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} > {at}")
    await set_head(ward, (await entries(ward))[-1].end)
    return f"behind {at}, and the head"


async def everything(ward: Ward, dice: random.Random) -> str:
    tables = ["audit_events", "audit_heads", "audit_anchored"]
    for table in tables[: dice.randint(1, 3)]:
        await ward.owner.execute(f"DELETE FROM {table} WHERE tenant_id = '{TENANT}'")
    return "all of it"


async def insert(ward: Ward, dice: random.Random) -> str:
    """Puts an entry between two others; the digests behind it and the head are made to fit."""
    chain = await entries(ward)
    at = await some(ward, dice, below=await anchored(ward) + 1)
    model = chain[at - 1]
    forged = replace(
        model, entry=replace(model.entry, audit_id="forged", deed=replace(model.entry.deed, subject="eve"))
    )
    await rewrite(ward, [*chain[: at - 1], forged, *chain[at - 1 :]], at)
    return f"before {at}, all behind it fit"


async def change_and_fit(ward: Ward, dice: random.Random) -> str:
    """Changes an entry; the digests behind it and the head are made to fit."""
    chain = await entries(ward)
    at = await some(ward, dice, below=await anchored(ward) + 1)
    old = chain[at - 1]
    chain[at - 1] = replace(old, entry=replace(old.entry, deed=replace(old.entry.deed, subject="eve")))
    await rewrite(ward, chain, at)
    return f"{at}, all behind it fit"


async def append_behind_the_head(ward: Ward, dice: random.Random) -> str:
    chain = await entries(ward)
    last = chain[-1]
    forged = link(last.end, replace(last.entry, sequence=last.entry.sequence + 1, audit_id="forged"))
    await ward.owner.executemany(_APPEND, [_row(forged)])
    return f"{forged.entry.sequence}"


async def duplicate(ward: Ward, dice: random.Random) -> str:
    """Puts a second entry at a place."""
    chain = await entries(ward)
    old = chain[dice.randrange(len(chain))]
    later = replace(old.entry, recorded_at=old.entry.recorded_at.replace(microsecond=999_999), audit_id="forged")
    await ward.owner.executemany(_APPEND, [_row(link(End(old.entry.sequence - 1, old.previous_digest), later))])
    return f"{old.entry.sequence}"


async def move_the_head(ward: Ward, dice: random.Random) -> str:
    chain = await entries(ward)
    await set_head(ward, chain[dice.randrange(len(chain) - 1)].end)
    return "back"


async def false_start(ward: Ward, dice: random.Random) -> str:
    """Drops old entries and says, with the signature of an anchor, that they were due to be dropped."""
    place = dice.choice(await ward.anchors.places(TENANT))
    anchor = await ward.anchors.read(TENANT, place)
    assert anchor is not None
    await ward.owner.execute(f"DELETE FROM audit_events WHERE {_WHERE} <= {place}")
    row = (TENANT, place, anchor.end.digest.hex(), 1, "", anchor.created_at)
    await ward.owner.execute("INSERT INTO audit_starts VALUES ($1, $2, $3, $4, $5, $6)", *row)
    return f"up to {place}"


async def forge_an_anchor(ward: Ward, dice: random.Random) -> str:
    """Rewrites the chain, and the digest in its anchors, which cannot be signed."""
    said = await change_and_fit(ward, dice)
    chain = await entries(ward)
    for file in ward.folder.rglob("*.json"):
        old = chain[int(file.stem) - 1].digest.hex()
        head, _, tail = file.read_text().partition('"digest":"')
        file.write_text(f'{head}"digest":"{old}{tail[64:]}')
    return f"{said}, and the anchors"


async def remove_the_newest_anchor(ward: Ward, dice: random.Random) -> str:
    """Without it, what it said could be changed."""
    place = await anchored(ward)
    next(ward.folder.rglob(f"*{place}.json")).unlink()
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
