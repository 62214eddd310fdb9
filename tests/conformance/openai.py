"""OpenAI's Images and Chat Completions APIs as their reference describes them, for one key."""

from __future__ import annotations

import base64
import io
import json

from PIL import Image

from tests.conformance.wire import ConformantServer, Received, Reply

KEY = "sk-conformance"
_IMAGE_FIELDS = {
    "dall-e-3": {"model", "prompt", "n", "size", "quality", "style", "response_format", "user"},
    "gpt-image-1": {
        "model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "moderation",
        "user",
    },
}  # fmt: skip
_IMAGE_SIZES = {
    "dall-e-3": {"1024x1024", "1792x1024", "1024x1792"},
    "gpt-image-1": {"1024x1024", "1536x1024", "1024x1536", "auto"},
}
_QUALITIES = {"dall-e-3": {"standard", "hd"}, "gpt-image-1": {"auto", "low", "medium", "high"}}
_MAX_PROMPT = {"dall-e-3": 4000, "gpt-image-1": 32000}


def error(status: int, message: str, kind: str, code: str | None = None, **headers: str) -> Reply:
    """Give an answer in OpenAI's envelope."""
    return Reply.of(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, **headers)


RATE_LIMITED = error(
    429, "Rate limit reached for images per minute.", "requests", "rate_limit_exceeded", retry_after="7"
)
NO_CREDIT = error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
POLICY = error(
    400, "Your request was rejected as a result of our safety system.", "invalid_request_error",
    "content_policy_violation",
)  # fmt: skip
SERVER_ERROR = error(500, "The server had an error while processing your request.", "server_error")


class OpenAiServer(ConformantServer):
    """Judges method, key, media type, fields and bounds; remembers results by idempotency key."""

    def __init__(self) -> None:
        super().__init__()
        self.text = "The sign-in feature lets users sign in."
        self.finish = "stop"
        self._kept: dict[str, Reply] = {}

    def judge(self, request: Received) -> Reply:
        """Answer as the reference says."""
        given = request.headers.get("authorization", "")
        if given != f"Bearer {KEY}":
            shown = given.removeprefix("Bearer ")
            return error(401, f"Incorrect API key provided: {shown}.", "invalid_request_error", "invalid_api_key")
        kept = self._kept.get(request.headers.get("idempotency-key", ""))
        if kept is not None:
            return kept
        if request.method != "POST" or request.headers.get("content-type") != "application/json":
            return error(400, "We could not parse the JSON body of your request.", "invalid_request_error")
        body = json.loads(request.body)
        routes = {"/v1/images/generations": self._image, "/v1/chat/completions": self._chat}
        route = routes.get(request.path)
        reply = route(body) if route else error(404, f"Invalid URL ({request.path})", "invalid_request_error")
        if reply.status == 200 and request.headers.get("idempotency-key"):
            self._kept[request.headers["idempotency-key"]] = reply
        return reply

    def _image(self, body: dict[str, object]) -> Reply:
        model = str(body.get("model"))
        if model not in _IMAGE_FIELDS:
            return error(404, f"The model '{model}' does not exist.", "invalid_request_error", "model_not_found")
        unknown = set(body) - _IMAGE_FIELDS[model]
        if unknown:
            return error(400, f"Unknown parameter: '{min(unknown)}'.", "invalid_request_error", "unknown_parameter")
        prompt = str(body.get("prompt", ""))
        wrong = (
            not 0 < len(prompt) <= _MAX_PROMPT[model]
            or body.get("size") not in _IMAGE_SIZES[model]
            or body.get("quality") not in _QUALITIES[model]
            or body.get("n") != 1
        )
        if wrong:
            return error(400, "Invalid value.", "invalid_request_error", "invalid_value")
        width, height = (int(side) for side in str(body["size"]).split("x"))
        data: dict[str, object] = {"b64_json": base64.b64encode(png(width, height)).decode()}
        if model == "dall-e-3":
            data["revised_prompt"] = f"A picture of: {prompt[:80]}"
            return Reply.of(200, {"created": 1, "data": [data]})
        usage = {"total_tokens": 4170, "input_tokens": 10, "output_tokens": 4160}
        return Reply.of(200, {"created": 1, "data": [data], "usage": usage})

    def _chat(self, body: dict[str, object]) -> Reply:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or body.get("stream") is not False:
            return error(400, "Invalid value for 'messages'.", "invalid_request_error")
        if not {"max_tokens", "max_completion_tokens"} & set(body):
            return error(400, "An upper bound is missing.", "invalid_request_error")
        message = {"role": "assistant", "content": self.text, "refusal": None}
        return Reply.of(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": f"{body['model']}-2025-04-14",
                "choices": [{"index": 0, "message": message, "finish_reason": self.finish}],
                "usage": {"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30},
            },
        )


def png(width: int, height: int) -> bytes:
    """Give a real picture."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#336699").save(out, "PNG")
    return out.getvalue()
