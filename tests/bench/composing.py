"""How long a document of five figures takes as Markdown, HTML, PDF and bundle, beside its Markdown alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.processes import CpuUsage
from soma_providers.composer.adapter import create
from soma_providers.port import Invocation, ProviderContext
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from soma_providers.runtime.processes import ChildProcesses
from tests.bench.figures import Figure, percentile
from tests.conformance import harness
from tests.integration.critic.samples.pages import page
from tests.integration.critic.samples.pictures import boxes, jpeg, png, scene
from tests.integration.critic.samples.theme import HELD_OUT
from tests.unit.soma_documents.samples import input_file, inputs, small

if TYPE_CHECKING:
    from soma_documents import InputFile
    from soma_providers.port import Provider
    from tests.bench.echo import EchoBaseline
    from tests.bench.rig import Rig

PART = "compose"
FULL_HD = (1920, 1080)
TIMES = 20
EVERYTHING = ("markdown", "html", "pdf", "bundle")
GOALS = {0.95: "< 3 s"}


def figures() -> dict[str, InputFile]:
    """Two diagrams, two pages and a photograph, each of full-HD size."""
    one, two, *_ = HELD_OUT
    pictures = {f"diagram{n}": png(boxes(theme, theme.labels).resize(FULL_HD)) for n, theme in enumerate((one, two))}
    for number, theme in enumerate((one, two)):
        pictures[f"page{number}"] = png(page(theme, theme.subject, theme.sentences).resize(FULL_HD))
    given = {name: input_file(content, "image/png", f"a-{name}") for name, content in pictures.items()}
    return given | {"photo": input_file(jpeg(scene(one, FULL_HD)), "image/jpeg", "a-photo")}


async def rounds(composer: Provider, outputs: tuple[str, ...], given: dict[str, InputFile]) -> list[float]:
    """Seconds of each composition; the first, which reads fonts and templates, is not among them."""
    document = small() | {"outputs": list(outputs)}
    document["sections"][1]["figures"] += [{"id": name, "asset": name, "caption": name} for name in given]  # type: ignore[index]
    seconds = []
    for number in range(TIMES + 1):
        invocation = Invocation(
            tool_id="document_composer", provider="local", model="", step_type="compose_document", task_type="document",
            params=document, idempotency_key=str(number), timeout_s=60, tenant_id="bench",
            inputs=harness.artefacts(inputs() | given),
        )  # fmt: skip
        began = time.perf_counter()
        await composer.invoke(invocation)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


async def measure(_rig: Rig, _baseline: EchoBaseline) -> list[Figure]:
    """The figures of composing, in this process."""
    given = figures()
    with tempfile.TemporaryDirectory() as folder:
        clock = SystemClock()
        async with (
            GuardedEgress(EgressRules()) as egress,
            ChildProcesses(clock, CpuUsage(clock), processes=2, cpu_s=30.0, idle_s=60.0).running() as processes,
        ):
            composer = create(ProviderContext(clock, egress, Path(folder), processes))
            try:
                words = await rounds(composer, ("markdown",), given)
                whole = await rounds(composer, EVERYTHING, given)
            finally:
                await composer.aclose()
    return [
        Figure(
            PART,
            f"five full-HD figures in four formats, p{round(share * 100)}",
            percentile(whole, share) * 1000,
            "ms",
            against="Markdown alone",
            ratio=percentile(whole, share) / percentile(words, share),
            goal=GOALS.get(share, ""),
        )
        for share in (0.5, 0.95)
    ]
