"""How long a revoked API key still opens the edge: from asking for its end until Envoy itself refuses it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.bench.figures import Figure, latencies

if TYPE_CHECKING:
    import httpx

    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

KEYS = 30
KEYS_PATH, PATH = "/v1/api-keys", "/v1/multimodal/ladders/MODALITY_DIAGRAM/image_diagram"
PART = "revoke"
GOALS = {0.95: "< 1 s", 0.99: "< 1 s"}


def revoke(admin: httpx.Client, client: httpx.Client) -> float:
    """Makes a key, sees that it opens, revokes it, and gives the seconds until it no longer does."""
    made = admin.post(KEYS_PATH, json={"display_name": "bench"}).raise_for_status().json()
    identity = {"authorization": f"Bearer {made['secret']}"}
    client.get(PATH, headers=identity).raise_for_status()
    began = time.perf_counter()
    admin.delete(f"{KEYS_PATH}/{made['key_id']}").raise_for_status()
    while True:
        answer = client.get(PATH, headers=identity)
        if answer.status_code == 401 and "x-soma-reason" not in answer.headers:  # not by the service behind it
            return time.perf_counter() - began


async def measure(rig: Rig, baseline: EchoBaseline) -> list[Figure]:
    """Seconds from the request to revoke until the edge refuses, one key after the other."""
    with rig.client() as admin, rig.client("") as client:
        seconds = [revoke(admin, client) for _ in range(KEYS)]
    return latencies(PART, "a revoked key is refused by the edge", seconds, baseline.full.latencies, GOALS)
