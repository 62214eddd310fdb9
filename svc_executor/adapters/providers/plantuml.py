"""PlantUML (its MIT build) on a Java from a wheel, laid out by Smetana, so that Graphviz is not needed."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from mesh.local.locate import tools
from mesh.local.locate.wheels import MissingError, in_wheel
from svc_executor.adapters.providers.diagram.drawing import Drawing, read_drawing
from svc_executor.adapters.providers.diagram.java_fonts import font_configuration
from svc_executor.adapters.providers.diagram.plantuml_process import PlantUmlProcess
from svc_executor.adapters.providers.diagram.result import diagram_result
from svc_executor.adapters.providers.diagram.svg import Svg, inspect, rasterise
from svc_executor.adapters.providers.diagram.to_plantuml import to_plantuml
from svc_executor.adapters.providers.offload import Worker
from svc_executor.domain.provider import Failure, Fault, ProbeResult, ProviderError, invalid_input

if TYPE_CHECKING:
    from pathlib import Path

    from svc_executor.domain.provider import Invocation, InvocationResult, Provider, ProviderContext

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

    def __init__(self, home: Path) -> None:
        self._home = (home / "plantuml").resolve()
        self._pixels = Worker("plantuml")
        self._process: PlantUmlProcess | None = None
        self._model = ""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Draw `params.diagram`, or `params.source` in PlantUML's language."""
        drawing = read_drawing(invocation, "plantuml", to_plantuml)
        source, added = _styled(drawing)
        text = await self._started().draw(source, invocation.timeout_s)
        _check(drawing, text, added)
        svg, png = await self._pixels.run(invocation.timeout_s, _finish, drawing, text)
        return diagram_result(drawing, svg, png, language="plantuml", ending="puml", model=self._model)

    async def probe(self) -> ProbeResult:
        """Say whether Java and PlantUML are installed."""
        try:
            self._started()
        except ProviderError as error:
            return ProbeResult(healthy=False, detail=error.message)
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """End Java."""
        self._pixels.close()
        if self._process is not None:
            await self._process.aclose()

    def _started(self) -> PlantUmlProcess:
        if self._process is None:
            try:
                java, jar = tools.java(), tools.plantuml_jar()
                fonts = in_wheel("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf").path.parent
            except MissingError as error:
                raise ProviderError(Failure.UNAVAILABLE, str(error)) from error
            self._home.mkdir(parents=True, exist_ok=True)
            properties = self._home / "fontconfig.properties"
            properties.write_text(font_configuration(fonts), encoding="utf-8")
            self._model = jar.path.stem
            self._process = PlantUmlProcess(java.path, jar.path, properties)
        return self._process


def create(context: ProviderContext) -> Provider:
    """Build the adapter; Java starts with the first diagram."""
    return PlantUml(context.home)


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
        raise ProviderError(Failure.UNAVAILABLE, "PlantUML could not draw this diagram", fault=Fault.PLATFORM)
    if _NO_GRAPHVIZ in text:
        raise invalid_input("/source", "PlantUML would need Graphviz for this kind of diagram")
    shown = [unescape(line) for line in _SHOWN.findall(text)]
    found = _LINE.search("\n".join(shown))
    line = max(1, int(found.group(1)) - added) if found else 1
    raise invalid_input("/source", f"PlantUML, line {line}: {shown[-1] if shown else 'cannot be drawn'}")


def _finish(drawing: Drawing, text: str) -> tuple[Svg, bytes]:
    svg = inspect(text, drawing.title, margin=_MARGIN_PX)
    return svg, rasterise(svg, drawing.scale_for(svg.width, svg.height))
