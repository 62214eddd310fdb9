"""How the selector's tables are kept short: past decisions and reservations that were closed go by age."""

from __future__ import annotations

from mesh.stores.retention import Rule, old_rows

RULES = (
    Rule("selections", "selections", old_rows("selections", "selection_id", "decided_at < $3::timestamptz")),
    # What is held still binds a budget, however old it is.
    Rule(
        "reservations",
        "selections",
        old_rows("reservations", "reservation_id", "expires_at < $3::timestamptz AND state <> 'held'"),
    ),
)
