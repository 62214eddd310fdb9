"""PlantUML (its MIT build) on a Java from a wheel, laid out by Smetana, so that Graphviz is not needed."""

from __future__ import annotations

import os
import re
from html import unescape
from typing import TYPE_CHECKING

from soma_local.locate import tools
from soma_local.locate.wheels import MissingError, in_wheel
from soma_providers.media.diagram.drawing import read_drawing
from soma_providers.media.diagram.raster import inspect_and_rasterize
from soma_providers.media.diagram.result import diagram_result
from soma_providers.plantuml.java_fonts import font_configuration
from soma_providers.plantuml.process import PlantUmlProcess
from soma_providers.plantuml.processes import PlantUmlProcesses
from soma_providers.plantuml.to_plantuml import to_plantuml
from soma_providers.port import Failure, FailureOrigin, ProbeResult, ProviderError, Usage, invalid_input

if TYPE_CHECKING:
    from soma_providers.media.diagram.drawing import Drawing
    from soma_providers.port import EstimateRequest, Invocation, InvocationResult, Provider, ProviderContext

_MARK = re.compile(r"^[ \t]*@(start|end)(\w*)", re.MULTILINE)
_LINE = re.compile(r"\[From string \(line (\d+)\)")
_SHOWN = re.compile(r">([^<>]+)</text>")
_MARGIN_PX = 10
_NO_GRAPHVIZ = "Dot executable does not exist"

_STYLE = """!pragma layout smetana
<style>
root {{ FontName "DejaVu Sans"; FontColor {text}; LineColor {line}; BackgroundColor {fill}; }}
document {{
  BackgroundColor #ffffff
  title {{ FontSize 17; FontStyle bold; LineThickness 0; BackgroundColor #ffffff; }}
}}
sequenceDiagram {{ group {{ BackgroundColor #ffffff; }} groupHeader {{ BackgroundColor {fill}; }} }}
arrow {{ LineColor {arrow}; FontColor {text}; FontSize 13; }}
</style>
skinparam shadowing false
skinparam roundCorner 8
skinparam rectangle<<group>> {{
  BackgroundColor {group}
  BorderColor {border}
}}"""
_THEMES = {
    "default": _STYLE.format(
        text="#1f2937", line="#3b6fb6", fill="#e8f0fe", arrow="#475569", group="#f8fafc", border="#94a3b8"
    ),
    "neutral": _STYLE.format(
        text="#000000", line="#000000", fill="#ffffff", arrow="#000000", group="#ffffff", border="#000000"
    ),
}


class PlantUml:
    """Draws sequences, classes, components and whatever else PlantUML's language knows."""

    provider = "local"

    def __init__(self, context: ProviderContext) -> None:
        self.capacity = context.processes.capacity
        self._context = context
        self._home = (context.home / "plantuml").resolve()
        self._pool = context.processes.pool("plantuml")
        self._processes: PlantUmlProcesses | None = None
        self._model = ""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Draw `params.diagram`, or `params.source` in PlantUML's language."""
        drawing = read_drawing(invocation, "plantuml", to_plantuml)
        source, added = _styled(drawing)
        text = await self._started().draw(source, invocation.tenant_id, invocation.timeout_s)
        _check(drawing, text, added)
        svg, png = await self._pool.run(
            inspect_and_rasterize,
            drawing,
            text,
            _MARGIN_PX,
            tenant_id=invocation.tenant_id,
            time_s=invocation.timeout_s,
        )
        return diagram_result(drawing, svg, png, language="plantuml", ending="puml", model=self._model)

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Say whether Java and PlantUML are installed."""
        try:
            self._started()
        except ProviderError as error:
            return ProbeResult(healthy=False, detail=error.message)
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """End Java."""
        if self._processes is not None:
            await self._processes.aclose()

    def _started(self) -> PlantUmlProcesses:
        if self._processes is None:
            try:
                java, jar = tools.java(), tools.plantuml_jar()
                fonts = in_wheel("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf").path.parent
            except MissingError as error:
                raise ProviderError(Failure.UNAVAILABLE, str(error)) from error
            self._home.mkdir(parents=True, exist_ok=True)
            properties = self._home / "fontconfig.properties"
            # In one step: other replicas may share the folder, and Java may read the file right now.
            fresh = properties.with_name(f".{properties.name}.{os.getpid()}")
            fresh.write_text(font_configuration(fonts), encoding="utf-8")
            fresh.replace(properties)
            self._model = jar.path.stem
            self._processes = PlantUmlProcesses(
                lambda: PlantUmlProcess(java.path, jar.path, properties),
                self.capacity, self._context.clock, self._context.idle_s,
            )  # fmt: skip
        return self._processes


def create(context: ProviderContext) -> Provider:
    """Build the adapter; Java starts with the first diagram."""
    return PlantUml(context)


def _styled(drawing: Drawing) -> tuple[str, int]:
    """Give the source with the theme after its first line, and how many lines that added."""
    source = drawing.source
    marks = [(mark.group(1), mark.group(2)) for mark in _MARK.finditer(source)]
    if not marks:
        source, marks = f"@startuml\n{source}\n@enduml\n", [("start", "uml"), ("end", "uml")]
    if [kind for kind, _ in marks] != ["start", "end"] or marks[0][1] != marks[1][1]:
        raise invalid_input("/source", "must hold one diagram, from one @start… to the @end… of the same kind")
    source = source[source.index("@start") :]
    source = source[: source.rindex("@end")] + f"@end{marks[1][1]}\n"
    if marks[0][1] != "uml":
        return source, 0
    first, rest = source.split("\n", 1)
    theme = _THEMES[drawing.theme]
    return f"{first}\n{theme}\n{rest}", theme.count("\n") + 1


def _check(drawing: Drawing, text: str, added: int) -> None:
    if "data-diagram-type=" in text[:1000] and _NO_GRAPHVIZ not in text:
        return
    if not drawing.raw:
        raise ProviderError(Failure.UNAVAILABLE, "PlantUML could not draw this diagram", origin=FailureOrigin.PLATFORM)
    if _NO_GRAPHVIZ in text:
        raise invalid_input("/source", "PlantUML would need Graphviz for this kind of diagram")
    shown = [unescape(line) for line in _SHOWN.findall(text)]
    found = _LINE.search("\n".join(shown))
    line = max(1, int(found.group(1)) - added) if found else 1
    raise invalid_input("/source", f"PlantUML, line {line}: {shown[-1] if shown else 'cannot be drawn'}")
