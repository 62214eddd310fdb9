"""A provider is one folder: it is found, its manifest is read and it is called, and nothing else is edited.

A folder of this library and a package of somebody else hold the same provider, which writes texts in capitals.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import rng
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from soma_providers.runtime.guarded import GuardedCatalogue, GuardLimits, Guards
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from mesh.resilience import CircuitState
    from soma_providers.port import CapabilityKey

ROOT = Path(__file__).parents[3]
_LEFT = shutil.ignore_patterns("__pycache__")
ADAPTER = '''\
"""Writes a text in capitals, in a child process."""

from soma_providers.media.params import Params
from soma_providers.port import Artefact, InvocationResult, ProbeResult


class Shout:
    provider = "local"

    def __init__(self, context):
        self.capacity = context.processes.capacity
        self._pool = context.processes.pool("shout")

    async def invoke(self, invocation):
        text = Params(invocation.params).text("text", max_chars=1000)
        loud = await self._pool.run(shouted, text, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s)
        return InvocationResult((Artefact(loud.encode(), "text/plain", "shout.txt", "text"),), loud, model="shout")

    async def probe(self):
        return ProbeResult(healthy=True)

    async def aclose(self):
        pass


def shouted(text):
    return text.upper()


def create(context):
    return Shout(context)
'''
MANIFEST = """\
tool_id: shout
provider: local
kind: CAPABILITY_KIND_TOOL
modalities: [MODALITY_TEXT]
task_types: [text_chat]
"""


class Unheard:
    """A `GuardObserver` that keeps nothing."""

    def circuit_changed(self, capability: CapabilityKey, state: CircuitState) -> None:
        pass

    def succeeded(self, capability: CapabilityKey) -> None:
        pass

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        pass


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "adapter.py").write_text(ADAPTER)
    (folder / "manifest.yaml").write_text(MANIFEST)


def package(site: Path, module: str, value: str, name: str = "shout") -> None:
    """Installs a package with one entry point."""
    if module:
        write(site / module)
    info = site / f"{value.replace('.', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {value.replace('.', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{discovery.GROUP}]\n{name} = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which packages are installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if "shout" in name:
            del sys.modules[name]
    importlib.invalidate_caches()


@asynccontextmanager
async def guarded_catalogue() -> AsyncIterator[GuardedCatalogue]:
    """What an executor makes of the installed providers."""
    adapters = {manifest.adapter for manifest in manifests.installed()}
    async with harness.context() as context:
        inner = ModuleCatalogue(context, discovery.installed(), adapters)
        yield GuardedCatalogue(inner, Guards(GuardLimits(), Unheard(), SystemClock(), rng=rng(1)))
        await inner.aclose()


async def shout() -> str:
    async with guarded_catalogue() as catalogue:
        provider = catalogue.provider("shout")
        assert provider is not None
        assert (await provider.probe()).healthy
        return (await provider.invoke(harness.invocation({"text": "quiet"}))).text


def capabilities() -> set[str]:
    return {manifest.capability_id for manifest in manifests.installed()}


def test_a_folder_of_the_library_is_a_provider(tmp_path: Path) -> None:
    tree = shutil.copytree(ROOT / "soma_providers", tmp_path / "soma_providers", ignore=_LEFT)
    write(tree / "shout")
    program = f"import asyncio; from {__name__} import *; print(asyncio.run(shout()), sorted(capabilities()))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"QUIET {sorted(capabilities() | {'shout@local'})}"


@pytest.mark.parametrize("value", ["acme_shout", "acme_shout.adapter"])
async def test_a_package_with_an_entry_point_is_a_provider(site: Path, value: str) -> None:
    assert "shout@local" not in capabilities()
    package(site, "acme_shout", value)
    if value == "acme_shout":
        (site / "acme_shout" / "__init__.py").write_text("from acme_shout.adapter import create\n")
    assert "shout@local" in capabilities()
    assert await shout() == "QUIET"


def test_nobody_replaces_a_provider_of_the_library(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    package(site, "acme_shout", "acme_shout.adapter", name="mermaid")
    assert discovery.installed()["mermaid"].module == "soma_providers.mermaid.adapter"
    assert "acme_shout.adapter is left out" in caplog.text


@pytest.mark.parametrize("value", ["gone", "gone.adapter", "acme_plain"])
def test_an_entry_point_without_a_module_in_a_package_is_left_out(
    site: Path, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    (site / "acme_plain.py").write_text(ADAPTER)
    package(site, "", value)
    assert "shout" not in discovery.installed()
    assert f"there is no module {value}" in caplog.text


async def test_a_provider_that_cannot_be_imported_keeps_no_other_from_working(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package(site, "acme_shout", "acme_shout.adapter")
    (site / "acme_shout" / "adapter.py").write_text("import what_nobody_installed\n")
    async with guarded_catalogue() as catalogue:
        assert catalogue.provider("shout") is None
        assert catalogue.provider("pillow_transform") is not None
    assert "adapter shout cannot be made" in caplog.text


def test_finding_providers_imports_none_and_one_brings_no_other() -> None:
    program = """
import sys
from soma_providers.runtime import manifests
assert manifests.installed()
found = lambda: sorted(name for name in sys.modules if name.startswith("soma_providers.") and name.count(".") == 1)
print(*found())
import soma_providers.mermaid.engine
print(*found())
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    before, after = done.stdout.splitlines()
    assert before.split() == ["soma_providers.port", "soma_providers.runtime"]
    assert {*after.split()} - {*before.split()} == {"soma_providers.media", "soma_providers.mermaid"}
