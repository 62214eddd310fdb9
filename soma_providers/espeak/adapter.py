"""eSpeak NG, a formant synthesiser: clear, quick and robotic speech in many languages."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING

from mesh.processes.program import run_program
from soma_local.locate import tools
from soma_local.locate.wheels import MissingError
from soma_providers.espeak import espeak_child
from soma_providers.media.params import Params
from soma_providers.port import (
    Artefact,
    Failure,
    FailureOrigin,
    InvocationResult,
    ProbeResult,
    ProviderError,
    Usage,
    whole_number,
)

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, JsonValue, Processes, Provider, ProviderContext

_MAX_CHARS = 5000
_USUAL_RATE_WPM = 160
_CHARS_PER_SECOND = 12
"""How quickly a text is read at the usual rate, pauses included."""
_TALKATIVE = ("text", "voice", "rate_wpm", "pitch")


class Espeak:
    """Reads a text aloud as a WAV file."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("espeak")

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Speak `params.text` in `voice` (en-us) at `rate_wpm` (160) and `pitch` (45)."""
        params = Params(invocation.params)
        request: dict[str, JsonValue] = {
            "text": params.text("text", max_chars=_MAX_CHARS),
            "voice": params.text("voice", "en-us", max_chars=32),
            "rate_wpm": params.integer("rate_wpm", _USUAL_RATE_WPM, low=80, high=400),
            "pitch": params.integer("pitch", 45, low=0, high=99),
            "volume": 100,
        }
        rate, seconds, content = await self._speak(request, params, invocation)
        echo = {name: request[name] for name in _TALKATIVE if name != "text"}
        metadata: dict[str, JsonValue] = {
            "duration_s": round(seconds, 3),
            "sample_rate_hz": rate,
            "channels": 1,
            **echo,
        }
        return InvocationResult(
            artefacts=(Artefact(content, "audio/wav", "speech.wav", "audio", metadata),),
            usage=Usage(seconds=seconds),
            model="espeak-ng",
            metadata=echo,
        )

    def estimate(self, request: EstimateRequest) -> Usage:
        """The time that reading the text aloud takes."""
        slower = max(_USUAL_RATE_WPM / (whole_number(request.params, "rate_wpm") or _USUAL_RATE_WPM), 1.0)
        chars = len(str(request.params.get("text", "")))
        return Usage(seconds=math.ceil(chars / _CHARS_PER_SECOND * slower), estimated=True)

    async def probe(self) -> ProbeResult:
        """Say whether the library and its voices are there."""
        try:
            tools.espeak_library()
        except MissingError as error:
            return ProbeResult(healthy=False, detail=str(error))
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept."""

    async def _speak(
        self, request: dict[str, JsonValue], params: Params, invocation: Invocation
    ) -> tuple[int, float, bytes]:
        try:
            library = tools.espeak_library().path
        except MissingError as error:
            raise ProviderError(Failure.UNAVAILABLE, str(error)) from error
        argv = (sys.executable, "-I", espeak_child.__file__, str(library), str(library.parent / "espeak-ng-data"))
        code, out, _ = await self._pool.run(
            run_program, argv, json.dumps(request).encode(), str(library.parent), {},
            tenant_id=invocation.tenant_id, time_s=invocation.timeout_s,
        )  # fmt: skip
        if code == espeak_child.UNKNOWN_VOICE:
            raise params.error("voice", f"{request['voice']!r} is not installed; try en-us, en-gb or de")
        if code == espeak_child.SILENCE:
            raise params.error("text", "holds nothing that can be spoken")
        if code < 0:
            raise ProviderError(
                Failure.TIMEOUT, "the speech needed too much time or memory", origin=FailureOrigin.CALLER
            )
        head, _, content = out.partition(b"\n")
        rate, _, seconds = head.decode("ascii", errors="replace").partition(" ")
        if code != 0 or not rate.isdigit():
            raise ProviderError(Failure.UNAVAILABLE, "the speech synthesiser failed")
        return int(rate), float(seconds), content


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return Espeak(context.processes)
