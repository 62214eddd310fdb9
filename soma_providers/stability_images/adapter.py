"""Pictures by Stability AI's Stable Image API, version v2beta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from soma_providers.media.params import Params
from soma_providers.media.remote.calls import RemoteCalls, as_count
from soma_providers.media.remote.pictures import asset_type_of, picture, prompt_of
from soma_providers.port import Failure, InvocationResult, ProviderError, Usage

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, JsonValue, ProbeResult, Provider, ProviderContext

_ENDPOINT = "https://api.stability.ai"
_SERVICES = {"stable-image-core": "core", "stable-image-ultra": "ultra", "sd3.5-large": "sd3", "sd3.5-medium": "sd3"}
_RATIOS = {"square": "1:1", "landscape": "3:2", "portrait": "2:3", "wide": "16:9"}
_MAX_PROMPT = 10_000
_MAX_SEED = 4_294_967_294


class StabilityImages:
    """Paints one picture from a prompt."""

    provider = "stability"

    def __init__(self, context: ProviderContext) -> None:
        self._calls = RemoteCalls("Stability AI", _ENDPOINT, context)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Paint `prompt` (or a description of `diagram`), without `negative_prompt`, in `shape`, from `seed`."""
        model = invocation.model or "stable-image-core"
        if model not in _SERVICES:
            raise ProviderError(Failure.INVALID_INPUT, f"model must be one of {', '.join(_SERVICES)}")
        fields = _fields(invocation, model)
        path = f"/v2beta/stable-image/generate/{_SERVICES[model]}"
        # Parts without a file name: the API takes nothing but multipart/form-data.
        form = httpx.Request("POST", _ENDPOINT, files={name: (None, value) for name, value in fields.items()})
        headers = {"Content-Type": form.headers["Content-Type"], "Accept": "application/json"}
        usage = Usage(images=1)
        response = await self._calls.post(invocation, path, form.read(), headers, max_usage=usage)
        answer = self._calls.json(response, usage)
        if answer.get("finish_reason") == "CONTENT_FILTERED":  # it was made, and blurred
            raise ProviderError(Failure.CONTENT_REJECTED, "Stability AI refuses this content", usage=usage)
        echo: dict[str, JsonValue] = {"seed": as_count(answer.get("seed")) or 0, "aspect_ratio": fields["aspect_ratio"]}
        return InvocationResult(
            artefacts=(picture(answer.get("image"), asset_type_of(invocation), echo, "Stability AI", usage),),
            usage=usage,
            model=model,
            metadata=echo,
        )

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Probes whether the API endpoint is reachable."""
        return await self._calls.probe("/v1/user/account")

    async def aclose(self) -> None:
        """Nothing is kept."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return StabilityImages(context)


def _fields(invocation: Invocation, model: str) -> dict[str, str]:
    params = Params(invocation.params)
    fields = {
        "prompt": prompt_of(invocation, params, max_chars=_MAX_PROMPT),
        "aspect_ratio": _RATIOS[params.choice("shape", tuple(_RATIOS), "square")],
        "output_format": "png",
        "seed": str(params.integer("seed", 0, low=0, high=_MAX_SEED)),
    }
    if params.has("negative_prompt"):
        fields["negative_prompt"] = params.text("negative_prompt", max_chars=_MAX_PROMPT)
    if _SERVICES[model] == "sd3":
        fields["model"] = model
    return fields
