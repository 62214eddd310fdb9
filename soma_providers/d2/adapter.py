"""D2, a diagram compiler in one program that lays out and paints by itself."""

from __future__ import annotations

import asyncio
import re
import tempfile
from typing import TYPE_CHECKING

from mesh.processes.program import run_program
from soma_local.locate import tools
from soma_local.locate.wheels import MissingError
from soma_providers.d2.to_d2 import to_d2
from soma_providers.media.diagram.drawing import Drawing, read_drawing
from soma_providers.media.diagram.result import diagram_result
from soma_providers.media.diagram.svg import inspect
from soma_providers.port import Failure, FailureOrigin, ProbeResult, ProviderError, Usage, invalid_input

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, InvocationResult, Processes, Provider, ProviderContext

_THEMES = {"default": "0", "neutral": "1"}
_PAD_PX = 24
# D2 paints two pixels for one of its own at scale 1.
_PIXELS_AT_ONE = 2.0
# An import, or the attribute whose file D2 puts into the drawing. Escapes and continued lines may hide where a word
# begins, so that with them any word that holds it is refused.
_FILE = re.compile(r"(?<!\w)@|(?<![\w-])icon(?![\w-])", re.IGNORECASE)
_HIDDEN_FILE = re.compile("@|icon", re.IGNORECASE)
_ESCAPE = re.compile(r"\\\s*")
_VERSION = re.compile(r'data-d2-version="([^"]+)"')


class D2:
    """Draws boxes and arrows, sequences and classes."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("d2")

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Draw `params.diagram`, or `params.source` in D2's language."""
        drawing = read_drawing(invocation, "d2", to_d2)
        if drawing.raw and _names_a_file(drawing.source):
            raise invalid_input("/source", "must not name files: leave out imports with @ and the word icon")
        try:
            async with asyncio.timeout(invocation.timeout_s):
                text = (await self._compile(invocation, drawing, "svg", 1.0)).decode("utf-8", errors="replace")
                svg = await self._pool.run(
                    inspect, text, drawing.title, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s
                )
                scale = drawing.scale_for(svg.width, svg.height)
                png = await self._compile(invocation, drawing, "png", scale / _PIXELS_AT_ONE)
        except TimeoutError:
            raise ProviderError(
                Failure.TIMEOUT, f"D2 did not finish within {invocation.timeout_s:.0f} s", origin=FailureOrigin.CALLER
            ) from None
        return diagram_result(drawing, svg, png, language="d2", ending="d2", model=_model(text))

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Say whether D2 is installed."""
        try:
            tools.d2()
        except MissingError as error:
            return ProbeResult(healthy=False, detail=str(error))
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept."""

    async def _compile(self, invocation: Invocation, drawing: Drawing, form: str, scale: float) -> bytes:
        try:
            program = tools.d2().path
        except MissingError as error:
            raise ProviderError(Failure.UNAVAILABLE, str(error)) from error
        with tempfile.TemporaryDirectory(prefix="d2.") as folder:
            argv = (
                str(program), "--bundle=false", f"--theme={_THEMES[drawing.theme]}", f"--pad={_PAD_PX}",
                f"--scale={scale:.4f}", "--layout=elk", f"--stdout-format={form}", "-", "-",
            )  # fmt: skip
            code, out, err = await self._pool.run(
                run_program, argv, drawing.source.encode(), folder, {"HOME": folder, "TMPDIR": folder},
                tenant_id=invocation.tenant_id, time_s=invocation.timeout_s,
            )  # fmt: skip
        if code < 0:
            raise ProviderError(Failure.TIMEOUT, "D2 needed too much time or memory", origin=FailureOrigin.CALLER)
        if code != 0 or not out:
            raise _failure(drawing, err.decode("utf-8", errors="replace"))
        return out


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return D2(context.processes)


def _names_a_file(source: str) -> bool:
    if "\\" in source:
        return bool(_HIDDEN_FILE.search(_ESCAPE.sub("", source)))
    return bool(_FILE.search(source))


def _failure(drawing: Drawing, err: str) -> ProviderError:
    if not drawing.raw:
        return ProviderError(Failure.UNAVAILABLE, "D2 could not draw this diagram", origin=FailureOrigin.PLATFORM)
    lines = [line.removeprefix("err: ").strip() for line in err.splitlines() if line.startswith("err:")]
    text = "; ".join(lines).replace("failed to compile -: ", "").replace("-:", "line ")
    return invalid_input("/source", f"D2: {text[:400] or 'the source cannot be drawn'}")


def _model(svg: str) -> str:
    found = _VERSION.search(svg)
    return f"d2 {found.group(1)}" if found else "d2"
