"""Finds tasks that nobody watches: work in the background is started by `mesh.lifecycle.background` alone.

What fails in a bare task is heard of by nobody. The few places below begin one and wait for it themselves.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLS = frozenset({"create_task", "ensure_future"})
_WATCHED = ("mesh/", "soma_", "svc_")

ALLOWED = {
    "mesh/lifecycle.py background": "the one place that watches",
    "mesh/lifecycle.py _serve": "ends with the context that it waits beside, and does nothing that could fail",
    "mesh/rpc/server.py _stop": "awaited at the end of the function",
    "mesh/rpc/interceptors/progress.py UploadProgress._next": "one message and a pause, ended within the function",
    "mesh/rpc/interceptors/stream_identity.py StreamIdentity._registered": "a pause, ended with its stream",
    "mesh/rpc/heartbeats.py Heartbeats.add_to": "reads one stream, ended with it; its error is raised there",
    "mesh/events/inbox.py Consumer._apply_batch": "tries one event again; its failure is logged, its end awaited",
    "mesh/events/kafka/stopping.py stop_producer": "awaited within the function",
    "mesh/events/kafka/stopping.py stop_consumer": "awaited within the function",
    "mesh/events/kafka/publisher.py Publisher._retire": "one short end of a producer, awaited when the bus closes",
    "mesh/events/kafka/subscription.py KafkaSubscription.__aenter__": "joining goes on until it has succeeded; awaited",
    "mesh/events/kafka/subscription.py KafkaSubscription.__aiter__": "one fetch, awaited by the iteration",
    "mesh/events/kafka/subscription.py KafkaSubscription._fetch": "joining goes on until it has succeeded; awaited",
    "soma_cli/commands/mesh.py _run": "awaited within the function",
    "soma_local/stack.py LocalMesh._start_all": "one look for a browser, awaited before it is used",
    "soma_local/stack.py LocalMesh._wait_for": "a pause that is waited for",
    "soma_local/supervisor/supervisor.py Supervisor.start": "restarts programs, itself without a context; awaited",
    "svc_executor/workflows/multimodal_job.py MultimodalJob": "workflow code: Temporal's loop, awaited by the workflow",
    "svc_executor/workflows/activities.py": "the heartbeat of one activity, ended with it",
    "svc_executor/app/provider_calls.py _run_to_completion": "awaited within it, also when its caller is cancelled",
    "soma_providers/playwright_screenshot/chromium.py": "an idle term of one browser",
    "soma_providers/runtime/processes.py _Pool._pool": "opens one pool, awaited by all who need it",
    "soma_providers/smollm/thread.py ModelThread.run": "one call of a model, told to stop and awaited",
    "soma_providers/media/background_task.py AdapterBackgroundTask.start": "awaited at once",
    "svc_gateway/app/health_monitor.py HealthMonitor._probe": "one probe, awaited within the function",
    "svc_gateway/app/health_monitor.py HealthMonitor._wait_at_most": "a pause that is ended within the function",
    "svc_executor/adapters/reports.py": "one report of a provider's health",
    "svc_gateway/rpc/xds/server.py": "reads one stream, ended with it",
    "svc_provenance/app/watch.py": "reads for one feed, ended with it",
    "svc_selector/adapters/peers/gateway.py GatewayPermissions.get": "one call, awaited by all who need its answer",
}
"""File and function, or the beginning of both, that may begin a task, with the reason."""


def bare_tasks(name: str, text: str) -> list[str]:
    """The places in a file that begin a task, without those that may."""
    if not name.startswith(_WATCHED) or not name.endswith(".py"):
        return []
    places = (f"{name} {function}" for function in _begin(ast.parse(text), ""))
    return sorted({place for place in places if not place.startswith(tuple(ALLOWED))})


def _begin(node: ast.AST, within: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{within}.{child.name}" if within else child.name
        if isinstance(child, ast.Call) and _is_bare(child.func):
            yield within
        yield from _begin(child, inner)


def _is_bare(called: ast.expr) -> bool:
    """Whether it is a task of the loop; one of a `TaskGroup` is awaited by its group."""
    if isinstance(called, ast.Name):
        return called.id in _CALLS
    if not isinstance(called, ast.Attribute) or called.attr not in _CALLS:
        return False
    owner = called.value
    if isinstance(owner, ast.Call):
        return isinstance(owner.func, ast.Attribute) and owner.func.attr.endswith("_loop")
    return isinstance(owner, ast.Name) and (owner.id == "asyncio" or owner.id.endswith("loop"))
