"""Inputs that once stopped a service, or took it from others, as two hostile tenants send them without pause."""

from __future__ import annotations

import os
from itertools import cycle
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]

NEED = {"modality": "MODALITY_TOOL", "task_type": "soak"}
LETTERS = "a" * 120_000
BLURRED = "".join(f'<rect x="{n}" width="90" height="90" filter="url(#b)"/>' for n in range(300))
BLUR = '<defs><filter id="b"><feGaussianBlur stdDeviation="90"/></filter></defs>'
DRAWING = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 600">{BLUR}{BLURRED}</svg>'
DEEP = "<text>a" * 20_000 + "</text>" * 20_000
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{DEEP}</svg>'


def capability(name: str, schema: dict[str, object]) -> dict[str, object]:
    """A tool of the tenant's own, with a schema for its parameters."""
    return {
        "tool_id": name, "provider": "hostile", "kind": "CAPABILITY_KIND_TOOL", "modalities": ["MODALITY_TOOL"],
        "task_types": ["soak"], "input_schema": schema,
    }  # fmt: skip


def graph(nodes: int, edges: int) -> dict[str, object]:
    """A flow diagram."""
    return {
        "kind": "flow",
        "title": "busy",
        "nodes": [{"id": f"n{number}", "label": f"Node {number}", "shape": "box"} for number in range(nodes)],
        "edges": [{"from": f"n{number % nodes}", "to": f"n{(number * 7 + 3) % nodes}"} for number in range(edges)],
    }


def job(task: dict[str, object]) -> dict[str, object]:
    """A job of one step, under a name of its own so that it is made each time."""
    return {"plan": {"version": "1.0", "metadata": {"title": os.urandom(4).hex()}, "tasks": [{"task_id": "a", **task}]}}


def posting(path: str, make: Callable[[], object]) -> Send:
    """Sends a body as JSON."""

    async def send(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(path, json=make())

    return send


def judging(name: str, media_type: str, body: str) -> Send:
    """Stores a file and has it judged."""

    async def send(client: httpx.AsyncClient) -> httpx.Response:
        content = body.encode() + b"\n" + os.urandom(4).hex().encode() * (media_type == "text/markdown")
        stored = await client.post(
            f"/v1/uploads?filename={name}", content=content, headers={"content-type": media_type}
        )
        if stored.status_code != httpx.codes.OK:
            return stored
        return await client.post("/v1/multimodal/evaluations", json={"asset_id": stored.json()["asset_id"]})

    return send


def diagram(nodes: int, edges: int, tool: str) -> Send:
    """A job that draws a diagram."""
    return posting(
        "/v1/multimodal/jobs",
        lambda: job(
            {
                "step_type": "generate_diagram",
                "params": {"diagram": graph(nodes, edges)},
                "user_defaults": {"provider": "local", "model": tool},
            }
        ),
    )


def page() -> object:
    """A job that takes a screenshot of a host that does not exist."""
    return job({"step_type": "capture_screenshot", "params": {"url": "https://nowhere.invalid/"}})


def large() -> object:
    """A capability whose schema is as large as a message may be."""
    return capability(f"large{os.urandom(2).hex()}", {"description": "x" * 2_900_000})


REGISTER, SELECT, JOBS = "/v1/multimodal/capabilities", "/v1/selections", "/v1/multimodal/jobs"
SCHEMAS: Mapping[str, dict[str, object]] = {
    "remote": {"$ref": "http://127.0.0.1:9/x"},
    "slow": {"properties": {"x": {"pattern": "^(a+)+$"}}},
    "loop": {"$ref": "#"},
    "fractions": {"properties": {"y": {"items": {"allOf": [{"multipleOf": 1e-300}] * 4}}}},
}


def registering(name: str) -> Send:
    """Registers a capability with one of the schemas."""
    return posting(REGISTER, lambda: capability(name, SCHEMAS[name]))


def selecting(**params: object) -> Send:
    """Selects with these parameters."""
    return posting(SELECT, lambda: {"requirements": {**NEED, "params": params}, "dry_run": True})


def prompt() -> object:
    """A job whose prompt is one long word."""
    return job({"step_type": "generate_text", "params": {"prompt": LETTERS}})


SENDS: Sequence[tuple[str, Send]] = (
    ("6: schema with a remote reference", registering("remote")),
    ("6: schema with a pattern that backtracks", registering("slow")),
    ("6: schema that refers to itself", registering("loop")),
    ("6: schema of fractions", registering("fractions")),
    ("6: a text that does not fit", selecting(x="a" * 40 + "!")),
    ("6: 40,000 numbers for the fractions", selecting(y=[1.5] * 40_000)),
    ("6: 40,000 large numbers", selecting(x=[1e308] * 40_000)),
    ("7: 120,000 letters", selecting(x=LETTERS)),
    ("7: letters in a prompt", posting(JOBS, prompt)),
    ("8: Markdown of tags", judging("a.md", "text/markdown", "<a " * 20_000)),
    ("8: blurred drawing", judging("a.svg", "image/svg+xml", DRAWING)),
    ("8: deep drawing", judging("b.svg", "image/svg+xml", SVG)),
    ("12: diagram of 45 nodes", diagram(45, 90, "mermaid")),
    ("13: diagram of 60 nodes", diagram(60, 120, "mermaid")),
    ("14: page that is not there", posting(JOBS, page)),
    ("15: large capability", posting(REGISTER, large)),
)


async def attack(client: httpx.AsyncClient, offset: int, seen: dict[str, int]) -> None:
    """Sends one after the other for ever, counting answers by what was sent and the status."""
    order = cycle([*SENDS[offset % len(SENDS) :], *SENDS[: offset % len(SENDS)]])
    for name, send in order:
        try:
            status = str((await send(client)).status_code)
        except httpx.HTTPError as error:
            status = type(error).__name__
        key = f"{name} → {status}"
        seen[key] = seen.get(key, 0) + 1
