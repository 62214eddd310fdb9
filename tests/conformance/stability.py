"""Stability AI's Stable Image API (v2beta) as its reference describes it, for one key."""

from __future__ import annotations

import base64
from email import message_from_bytes

from tests.conformance.openai import png
from tests.conformance.wire import ConformantServer, Received, Reply

KEY = "sk-stability-conformance"
_PREFIX = "/v2beta/stable-image/generate/"
_RATIOS = {"16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"}
_FIELDS = {"prompt", "aspect_ratio", "negative_prompt", "seed", "style_preset", "output_format"}
_SERVICES = {"core": _FIELDS, "ultra": _FIELDS, "sd3": _FIELDS | {"model", "mode"}}


def error(status: int, name: str, *errors: str, **headers: str) -> Reply:
    """Give an answer in Stability's envelope."""
    return Reply.of(status, {"id": "a1b2", "name": name, "errors": list(errors)}, **headers)


RATE_LIMITED = error(429, "rate_limit_exceeded", "You have exceeded 150 requests in 10 seconds.", retry_after="60")
MODERATED = error(403, "content_moderation", "Your request was flagged by our content moderation system.")
NO_CREDIT = error(402, "payment_required", "You lack sufficient credits to make this request.")
SERVER_ERROR = error(500, "internal_error", "An unexpected internal error occurred.")


class StabilityServer(ConformantServer):
    """Judges path, key, media types and form fields."""

    def __init__(self) -> None:
        super().__init__()
        self.finish = "SUCCESS"
        self.fields: dict[str, str] = {}

    def judge(self, request: Received) -> Reply:
        """Answer as the reference says."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "unauthorized", "authorization: invalid or missing header value")
        service = request.path.removeprefix(_PREFIX)
        if request.method != "POST" or service not in _SERVICES:
            return error(404, "not_found", "No such route")
        kind = request.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data;"):
            return error(400, "bad_request", "content-type: must be multipart/form-data")
        if request.headers.get("accept") not in {"application/json", "image/*"}:
            return error(400, "bad_request", "accept: must be application/json or image/*")
        self.fields = _form(kind, request.body)
        problem = self._problem(service)
        if problem:
            return error(400, "bad_request", problem)
        image = base64.b64encode(png(96, 64)).decode()
        seed = int(self.fields.get("seed", "0")) or 4711
        return Reply.of(200, {"image": image, "finish_reason": self.finish, "seed": seed})

    def _problem(self, service: str) -> str:
        unknown = set(self.fields) - _SERVICES[service]
        if unknown:
            return f"{min(unknown)}: is not allowed"
        if not 1 <= len(self.fields.get("prompt", "")) <= 10_000:
            return "prompt: must be between 1 and 10000 characters"
        if self.fields.get("aspect_ratio") not in _RATIOS:
            return "aspect_ratio: is not valid"
        if not 0 <= int(self.fields.get("seed", "0")) <= 4294967294:
            return "seed: is not valid"
        return ""


def _form(kind: str, body: bytes) -> dict[str, str]:
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.walk():
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode()
    return fields
