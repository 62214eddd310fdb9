"""Writes docs/operations/grants.md, who may perform which action, from the packaged policy and the contexts' grants.

`--check` fails when the page does not match, and for an action that a method requires and nobody may perform.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mesh.contexts import ROLES, SERVICE, InvalidContextError, installed
from mesh.policy import Bundle, EmbeddedRego
from mesh.policy.grant_table import GrantRow, grant_table
from mesh.policy.grants import declared_grants, required_actions
from mesh.policy.policy import packaged

OUT = Path(__file__).resolve().parent.parent / "docs" / "operations" / "grants.md"
HEAD = f"""\
# Who may perform which action

Made by `tools/grants_doc.py` from the policy that comes with the mesh; `make proto` writes it. Each row is what
`policy/authz.rego` answers for the action, given what the contexts grant (`grants` in `svc_<name>/context.py`). An
action that no context grants is denied to everyone, and `make check` names it. `soma policy grants` prints the same
table for the policy and the contexts that are installed.

*On behalf* says what a service may do for the subject whose work it does, with that subject's roles. What only
administrators may do, and making tokens, it never may. Scopes of a credential narrow all this further, except
`permission.read` on behalf.

| action | granted by | {" | ".join((*ROLES, SERVICE))} | on behalf | methods |
| --- | --- | {" | ".join("---" for _ in (*ROLES, SERVICE))} | --- | --- |
"""


def line(row: GrantRow) -> str:
    """A row of the page."""
    marks = ["yes" if role in row.roles else "" for role in (*ROLES, SERVICE)]
    methods = "<br>".join(f"`{method.removeprefix('soma.')}`" for method in row.methods)
    cells = [f"`{row.action}`", row.granted_by or "nobody", *marks, row.on_behalf, methods]
    return f"| {' | '.join(cells)} |\n"


def rows() -> list[GrantRow]:
    """The table of the packaged policy and the installed contexts; InvalidContextError for a grant that is refused."""
    contexts, required = installed(), required_actions()
    bundle = Bundle.read(packaged(), declared_grants(contexts, required))
    return grant_table(contexts, required, EmbeddedRego(bundle))


def main(out: Path = OUT) -> int:
    """Writes, or checks."""
    try:
        found = rows()
    except InvalidContextError as error:
        print(error)
        return 1
    for row in found:
        if row.is_denied_to_all:
            print(f"{row.action} is granted to nobody, and {', '.join(row.methods)} needs it: name it in `grants`")
    text = HEAD + "".join(map(line, found))
    if "--check" not in sys.argv:
        out.write_text(text, encoding="utf-8")
    elif not out.exists() or out.read_text(encoding="utf-8") != text:
        print("docs/operations/grants.md does not match the policy and the contexts: run `make proto`")
        return 1
    return 1 if any(row.is_denied_to_all for row in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
