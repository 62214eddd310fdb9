"""One neutral diagram of each kind, for every engine to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue

ARCHITECTURE: Mapping[str, JsonValue] = {
    "kind": "architecture",
    "title": 'Sign-in: "the" architecture',
    "groups": [{"id": "edge", "label": "Edge (public) #1"}, {"id": "services", "label": "Services"}],
    "nodes": [
        {"id": "browser", "label": "Browser <b>1</b>", "shape": "actor", "group": "edge"},
        {"id": "envoy", "label": "Envoy edge & auth", "shape": "hexagon", "group": "edge"},
        {"id": "signin", "label": "Sign-in\nservice", "shape": "round", "group": "services"},
        {"id": "db", "label": "Postgres: ${users}", "shape": "database", "group": "services"},
        {"id": "end", "label": "Is it ok?", "shape": "diamond"},
    ],
    "edges": [
        {"from": "browser", "to": "envoy", "label": "HTTPS"},
        {"from": "envoy", "to": "signin", "label": 'gRPC | "x"', "style": "dashed"},
        {"from": "signin", "to": "db", "label": "SQL", "style": "thick"},
        {"from": "services", "to": "end", "style": "dotted"},
    ],
}
SEQUENCE: Mapping[str, JsonValue] = {
    "kind": "sequence",
    "title": "Sign in",
    "participants": [{"id": "u", "label": "User", "kind": "actor"}, "web", {"id": "db", "kind": "database"}],
    "messages": [
        {"from": "u", "to": "web", "label": "POST /login: {email, pw}"},
        {"from": "web", "kind": "self", "label": 'verify "hash"'},
        {"from": "web", "to": "db", "label": "SELECT * FROM users WHERE id = $1; -- end"},
        {"from": "db", "to": "web", "label": "row", "kind": "reply"},
        {"from": "web", "to": "u", "label": "200", "kind": "reply", "alt": "password matches"},
        {"from": "web", "to": "u", "label": "401", "kind": "reply", "alt": "else"},
    ],
}
CLASSES: Mapping[str, JsonValue] = {
    "kind": "class",
    "title": "Domain model",
    "classes": [
        {
            "id": "u",
            "name": "User",
            "stereotype": "entity",
            "attributes": ["+id: UUID", "-hash: str", "#tags: dict[str, list<int>]"],
            "methods": ["+verify(password: str): bool"],
        },
        {"id": "s", "name": 'Session "x"', "attributes": ["+token: str"], "methods": ["+revoke(): None"]},
        {"id": "a", "name": "Admin"},
    ],
    "relations": [
        {"from": "u", "to": "s", "kind": "composition", "label": "owns"},
        {"from": "a", "to": "u", "kind": "inheritance"},
        {"from": "s", "to": "a", "kind": "dependency", "label": "uses"},
    ],
}
ALL = {"architecture": ARCHITECTURE, "sequence": SEQUENCE, "class": CLASSES}
LABELS = {
    "architecture": [
        "Browser <b>1</b>", "Envoy edge & auth", "Sign-in service", "Postgres: ${users}", "Is it ok?", "HTTPS",
        'gRPC | "x"', "SQL", "Edge (public) #1", "Services", 'Sign-in: "the" architecture',
    ],
    "sequence": [
        "User", "web", "db", "POST /login: {email, pw}", 'verify "hash"', "SELECT * FROM users WHERE id = $1; -- end",
        "row", "200", "401", "password matches", "Sign in",
    ],
    "class": ["User", "entity", 'Session "x"', "Admin", "owns", "uses", "verify(password: str)", "Domain model"],
}  # fmt: skip
