"""Plants canaries where data goes into a mesh: at the front door, in whatever a client may fill in."""

from __future__ import annotations

import json
from itertools import cycle
from typing import TYPE_CHECKING, Any

from tests.chaos.contexts.canaries.generated import ENCODINGS, Canary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import httpx

_PER_STEP = 10
_SENT_BACK = 3
"""The step of each plan that the critic judges by its own bar: most are sent back with what it read, and fall back."""
_GENTLE = {"min_overall_score": 0, "criteria": [{"dimension": "relevance", "weight": 1, "threshold": 0}]}
"""The critic reads the others too and lets them pass: the same way through the mesh nine times over finds no more."""


class Planting:
    """Hands out planted texts and keeps the answers that were errors."""

    def __init__(self, api: httpx.Client, canaries: Sequence[Canary]) -> None:
        self._api = api
        self.canary_texts = [(canary, encode(canary.text)) for encode in ENCODINGS.values() for canary in canaries]
        self._next = cycle(self.canary_texts)
        self.errors: list[tuple[str, bytes]] = []
        self.planted: set[str] = set()

    def canary_text(self, *, line: bool = False) -> str:
        """The next planted text; with `line` one without line breaks."""
        while True:
            canary, text = next(self._next)
            if not (line and "\n" in text):
                self.planted.add(canary.name)
                return text

    def call(self, method: str, path: str, **given: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """A call; what an error says is kept, headers included."""
        answer = self._api.request(method, path, **given)
        if answer.status_code >= 400:
            told = b"\n".join(name + b": " + value for name, value in answer.headers.raw)
            self.errors.append((f"error of {method} {path} {answer.status_code}", told + b"\n" + answer.content))
        return answer

    def plans(self) -> Iterator[dict[str, object]]:
        """Plans with every canary in a prompt, label, title, name or parameter; steps that work and that fail."""
        texts = [text for _, text in self.canary_texts]
        self.planted |= {canary.name for canary, _ in self.canary_texts}
        for start in range(0, len(texts), _PER_STEP * 5):
            tasks = [
                _step(number, texts[first : first + _PER_STEP])
                for number, first in enumerate(range(start, min(start + _PER_STEP * 5, len(texts)), _PER_STEP))
            ]
            yield {
                "version": "1.0",
                "metadata": {
                    "title": f"plan {self.canary_text(line=True)}"[:200],
                    "description": f"for {self.canary_text()}",
                },
                "tasks": tasks,
            }

    def wrong(self) -> None:
        """Calls that are refused: each has a canary in what the refusal may quote."""
        job = "00000000-0000-7000-8000-000000000000"
        for _ in range(8):
            canary_text = self.canary_text()
            self.call(
                "POST",
                "/v1/multimodal/jobs",
                json={"plan": {"version": canary_text, canary_text: canary_text, "tasks": [{"task_id": canary_text}]}},
            )
            self.call(
                "POST",
                "/v1/multimodal/plans:validate",
                json={"plan": {"version": "1.0", "tasks": [{"x": canary_text}]}},
            )
            self.call("POST", "/v1/multimodal/evaluations", json={"asset_id": canary_text, "rubric_id": canary_text})
            self.call(
                "POST",
                "/v1/selections",
                json={"requirements": {"modality": canary_text, "params": {"prompt": canary_text}}},
            )
            self.call("PUT", "/v1/budgets", json={"scope": canary_text, "limit": canary_text})
            self.call("GET", "/v1/multimodal/jobs", params={"page_token": canary_text, "state": canary_text})
            self.call("POST", f"/v1/multimodal/jobs/{job}:cancel", json={"reason": canary_text[:500]})
            self.call(
                "POST",
                "/v1/multimodal/rubrics",
                json={"asset_type": canary_text, "criteria": [{"dimension": canary_text}]},
            )
            self.call("POST", "/v1/multimodal/jobs", content=b'{"plan": ' + json.dumps(canary_text).encode())

    def headers(self) -> None:
        """Calls with canaries in headers, some of them where a credential belongs."""
        for name in ("user-agent", "cookie", "referer", "x-forwarded-user", "x-api-key", "authorization", "x-custom"):
            for _ in range(4):
                self.call("GET", "/v1/multimodal/jobs", headers={name: self.canary_text(line=True)})

    def uploads(self) -> str:
        """Assets with canaries in their names and bytes; gives the id of one."""
        asset_id = ""
        for _ in range(6):
            name = f"{self.canary_text(line=True)[:60]}.txt".replace("/", "_")
            answer = self.call(
                "POST", "/v1/uploads", params={"filename": name}, content=self.canary_text().encode(),
                headers={"content-type": "text/plain"},
            )  # fmt: skip
            asset_id = answer.json().get("asset_id", asset_id) if answer.status_code < 400 else asset_id
        return asset_id


def _step(number: int, texts: Sequence[str]) -> dict[str, object]:
    """A diagram that says it all; every third step asks for a page that cannot be had."""
    if number % 3 == 2:
        return {
            "task_id": f"step{number}",
            "step_type": "capture_screenshot",
            "on_failure": "SKIP",
            "quality_gate": {"enabled": False},
            "params": {"url": f"https://user:{texts[0][:40].strip()}@127.0.0.1:9/", "notes": list(texts)},
        }
    nodes = [{"id": f"n{place}", "label": text[:200]} for place, text in enumerate(texts)]
    return {
        "task_id": f"step{number}",
        "step_type": "generate_diagram",
        "on_failure": "SKIP",
        "quality_gate": {"enabled": True} if number % 5 == _SENT_BACK else {"enabled": True, "rubric": _GENTLE},
        "params": {
            "prompt": "\n".join(texts),
            "diagram": {"kind": "flow", "title": texts[0][:100], "direction": "LR", "nodes": nodes, "edges": []},
        },
    }
