"""The reconciliation of what clients know with what replicas, database and API tell afterwards: pure functions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Asset:
    """A file that was stored: by its client's word or by the API's."""

    asset_id: str
    filename: str
    sha256: str


@dataclass(frozen=True)
class Purchase:
    """A selection that costs: the reservation that its client was told, or why it was refused."""

    request_id: str
    reservation_id: str
    refusal: str = ""


@dataclass(frozen=True)
class Revoked:
    """A key whose revocation was acknowledged."""

    key_id: str
    secret: str


@dataclass(frozen=True)
class Reservation:
    """A row of the ledger."""

    reservation_id: str
    state: str
    reserved: int
    settled: int


@dataclass(frozen=True)
class Account:
    """What the ledger's account of the budget says in sum."""

    limit: int
    reserved: int
    settled: int


@dataclass(frozen=True)
class Evidence:
    """What is found afterwards."""

    stored: Sequence[Asset] = ()
    account: Account = Account(0, 0, 0)
    reservations: Sequence[Reservation] = ()
    admitted: Sequence[tuple[str, str]] = ()
    """Replicas that let a revoked key in, each with the key's id."""
    served: Mapping[str, int] = field(default_factory=dict)
    """Calls that each replica served."""
    unsent: int = 0
    """Events that no relay has sent."""
    conflicts: int = 0
    """Anchors of audit chains that disagree with their chain."""
    anchors: int = 0


def faults(uploads: Iterable[Asset], purchases: Sequence[Purchase], price: int, evidence: Evidence) -> list[str]:
    """Everything that is wrong."""
    return [
        *_uploads(list(uploads), evidence.stored),
        *_budget(purchases, price, evidence.account, evidence.reservations),
        *(f"{name} admits the revoked key {key_id}" for name, key_id in evidence.admitted),
        *(f"{name} served no call" for name, count in sorted(evidence.served.items()) if count == 0),
        *([f"{evidence.unsent} events are not sent"] if evidence.unsent else []),
        *([f"{evidence.conflicts} anchors are not what their chain says"] if evidence.conflicts else []),
    ]


def _uploads(sent: Sequence[Asset], stored: Sequence[Asset]) -> Iterator[str]:
    found = Counter(asset.filename for asset in stored)
    for asset in sent:
        if found[asset.filename] != 1:
            yield f"{asset.filename} is stored {found[asset.filename]} times"
        elif asset not in stored:
            yield f"{asset.filename} is not stored as its client was told"
    known = {asset.filename for asset in sent}
    yield from (f"{name} was sent by nobody" for name in found if name not in known)


def _budget(
    purchases: Sequence[Purchase], price: int, account: Account, reservations: Sequence[Reservation]
) -> Iterator[str]:
    if account.reserved + account.settled > account.limit:
        yield f"{account.reserved} + {account.settled} of {account.limit} are spent"
    held = [each for each in reservations if each.state == "held"]
    if account.reserved != sum(each.reserved for each in held):
        yield f"the account holds {account.reserved}, its reservations {sum(each.reserved for each in held)}"
    settled = sum(each.settled for each in reservations)
    if account.settled != settled:
        yield f"the account has settled {account.settled}, its reservations {settled}"
    told = Counter(each.reservation_id for each in purchases if each.reservation_id)
    kept = {each.reservation_id for each in reservations}
    yield from (f"reservation {id_} was given to {count} requests" for id_, count in told.items() if count > 1)
    yield from (f"reservation {id_} is not in the ledger" for id_ in told if id_ not in kept)
    yield from (f"reservation {id_} was told to nobody" for id_ in kept if id_ not in told)
    wrong = Counter(each.refusal for each in purchases if each.refusal not in {"", "BUDGET_EXCEEDED"})
    yield from (f"{count} selections are refused: {reason}" for reason, count in wrong.items())
    refused = sum(bool(each.refusal) for each in purchases)
    if refused and (len(kept) + 1) * price <= account.limit:
        yield f"{refused} selections are refused, though {len(kept) * price} of {account.limit} are reserved"
