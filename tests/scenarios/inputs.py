"""One must not stop others: texts, values and files that held up a service, and an innocent tenant beside them."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from typing import TYPE_CHECKING

import httpx
import psutil

from tests.bench.soak.hostile import DRAWING, SVG, capability
from tests.scenarios.scenario import Scenario, expect
from tests.scenarios.watching import watching
from tests.scenarios.world import CAPABILITIES, JOBS, SELECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.scenarios.watching import Watch
    from tests.scenarios.world import Json, Tenant, World

_LETTERS = 1_000_000


_TEXTS: Mapping[str, str] = {
    "letters": "a" * _LETTERS,
    "digits": "1" * _LETTERS,
    "base64url": base64.urlsafe_b64encode(os.urandom(600_000)).decode(),
    "dots": "a." * (_LETTERS // 2),
    "addresses without an end": "a@" * (_LETTERS // 2),
    "keys that begin": "-----BEGIN PRIVATE KEY-----" * 30_000,
    "tokens that begin": "eyJ" * (_LETTERS // 3),
}


_NEED = {"modality": "MODALITY_TOOL", "task_type": "soak"}


def _plan(tasks: Sequence[object]) -> Json:
    return {"plan": {"version": "1.0", "metadata": {"title": os.urandom(4).hex()}, "tasks": list(tasks)}}


def _said(watches: Sequence[Watch]) -> str:
    return "; ".join(map(str, watches))


async def redacted(world: World) -> str:
    """7: texts that take long to redact, wherever a text goes in."""
    tenant = world.hostile
    async with watching(world, "selector", "executor", "provenance") as watches:
        for text in _TEXTS.values():
            step = {"task_id": "a", "step_type": "generate_text", "task_type": "nobody", "params": {"prompt": text}}
            for path, body in (
                (SELECTIONS, {"requirements": {**_NEED, "params": {"x": text}}, "dry_run": True}),
                (JOBS, _plan([step])),
                (JOBS, _plan([{**step, "task_type": text}])),
                (SELECTIONS, {"requirements": {**_NEED, "task_type": text}}),
                (CAPABILITIES, {**capability("x", {}), "display_name": text, "tool_id": text}),
            ):
                answer = await tenant.call("POST", path, json=body)
                expect(answer.status_code < 500, f"{path}: {answer.status_code} {answer.text[:200]}")
    return _said(watches)


async def many_values(world: World) -> str:
    """7, further: a request of few bytes and many values, in every field that takes JSON."""
    tenant, lists = world.hostile, [list[object]() for _ in range(900_000)]
    deep = json.loads('{"a":' * 90 + "1" + "}" * 90)
    ring = [{"task_id": f"t{n}", "step_type": "generate_text", "depends_on": [f"t{n ^ 1}"]} for n in range(10_000)]
    bodies: Sequence[tuple[str, object]] = (
        (SELECTIONS, {"requirements": {**_NEED, "params": {"x": lists}}, "dry_run": True}),
        (f"{CAPABILITIES}:find", {"requirements": {**_NEED, "params": {"x": lists}}}),
        (CAPABILITIES, {**capability("x", {}), "default_parameters": {"x": lists}}),
        (CAPABILITIES, capability("x", {"x": lists})),
        (JOBS, _plan([{"task_id": "a", "step_type": "generate_text", "params": {"x": lists}}])),
        (JOBS, _plan(ring)),
        (JOBS, _plan([{} for _ in range(200_000)])),
        (JOBS, _plan([{"task_id": "a", "step_type": "generate_text", "params": {"prompt": "${b.text}" * 300_000}}])),
        ("/v1/multimodal/plans:validate", _plan([{"task_id": "a", "depends_on": ["b"] * 400_000}])),
        (JOBS, _plan([{"task_id": "a", "step_type": "generate_text", "params": deep}])),
        ("/v1/multimodal/rubrics", {"criteria": [{"dimension": "clarity", "weight": 1}] * 60_000}),
    )  # fmt: skip
    async with watching(world, "selector", "executor", "registry", "critic") as watches:
        for path, body in bodies:
            answer = await tenant.call("POST", path, json=body)
            expect(answer.status_code == 400, f"{path}: {answer.status_code} {answer.text[:200]}")
            expect("details" in answer.json(), f"{path}: an error of another shape: {answer.text[:200]}")
    return _said(watches)


async def long_requests(world: World) -> str:
    """Both kinds of 7."""
    return f"texts: {await redacted(world)}. values: {await many_values(world)}"


_FILES: Mapping[str, tuple[str, str]] = {
    "tags": ("text/markdown", "<a " * 300_000),
    "ids": ("text/markdown", '<a id="' * 100_000),
    "brackets": ("text/markdown", "[" * 300_000),
    "quotes": ("text/markdown", "> " * 50_000 + "a"),
    "emphasis": ("text/markdown", "*a_ " * 200_000),
    "one word": ("text/plain", "a" * 2_000_000),
    "many words": ("text/plain", " ".join(f"w{n}" for n in range(200_000))),
    "blurred": ("image/svg+xml", DRAWING),
    "deep": ("image/svg+xml", SVG),
    "large": (
        "image/svg+xml",
        '<svg xmlns="http://www.w3.org/2000/svg" width="30000" height="30000"><rect width="9" height="9"/></svg>',
    ),
    "table": ("text/csv", "a,b\n" * 300_000),
}


async def _evaluated(tenant: Tenant, body: Json) -> str:
    """The status of an evaluation, which is not repeated: whether it ends in time is its own matter."""
    try:
        return str((await tenant.client.post("/v1/multimodal/evaluations", json=body)).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


async def judged(world: World) -> str:
    """8: files that take long to measure."""
    tenant, told = world.hostile, list[str]()
    labels = [f"label number {number}" for number in range(500)]
    async with watching(world, "critic", "assets") as watches:
        for name, (media_type, text) in _FILES.items():
            stored = await tenant.upload(
                text.encode() + os.urandom(4).hex().encode() * ("svg" not in media_type), media_type
            )
            told.append(f"{name} {stored.status_code}")
            if stored.is_success:
                about = {"request": "word " * 4_000, "expected_labels": labels}
                body = {"asset_id": stored.json()["asset_id"], "context": about}
                told.append(await _evaluated(tenant, body))
    return f"{' '.join(told)}. {_said(watches)}"


def _archive(entries: int, extra: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(entries):
            entry = zipfile.ZipInfo(f"{number:x}")
            entry.extra = extra
            archive.writestr(entry, b"")
    return out.getvalue()


async def archives(world: World) -> str:
    """23: an archive whose directory is most of it."""
    process, told = psutil.Process(world.rig.context_pid("assets")), list[str]()
    many, nested = _archive(120_000, b""), _archive(10, b"")
    for _ in range(12):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(3):
                archive.writestr(f"{number}.zip", nested)
        nested = out.getvalue()[: 1 << 20]
    before = process.memory_info().rss
    async with watching(world, "assets") as watches:
        for content in (many, nested, many[: len(many) // 2], many + b"\0" * 70_000):
            answer = await world.hostile.upload(content, "application/zip", filename="a.zip")
            told.append(str(answer.status_code))
    grown = (process.memory_info().rss - before) / (1 << 20)
    expect(told[0] != "200", "an archive of 120,000 entries was stored")
    expect(grown < 96, f"the service grew by {grown:.0f} MiB")
    return f"answers {' '.join(told)}, {grown:.0f} MiB more; {_said(watches)}"


SCENARIOS = (
    Scenario(
        7, "texts that take long to redact, requests of many values", "others are answered",
        "tests/unit/mesh/test_redaction.py::"
        "test_the_time_of_a_scan_grows_with_its_length_and_no_faster", long_requests, bound_s=900,
    ),
    Scenario(
        8, "files that take long to measure", "others are answered",
        "tests/integration/critic/test_measuring_limits.py::"
        "test_hard_input_is_measured_within_the_limit", judged, bound_s=900,
    ),
    Scenario(
        23, "an archive of very many entries", "refused without reading them",
        "tests/unit/assets/test_archives.py::test_a_directory_bomb_is_refused_without_reading_its_entries", archives,
    ),
)  # fmt: skip
