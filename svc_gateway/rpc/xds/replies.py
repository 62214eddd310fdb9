"""The edge's local replies in the error format of the API, and HTTP statuses that gRPC codes alone do not determine."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.accesslog.v3 as al
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.route.v3 as ro
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.type.matcher.v3 as matcher
import grpc
from envoy_data_plane.google.protobuf import Struct
from google.rpc import error_details_pb2, status_pb2

from mesh.errors import STATUS_MAPPINGS, Reason, StatusMapping
from svc_gateway.rpc.xds.messages import TRACE_HEADER, header

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOMAIN = "soma"
_BODY = "%LOCAL_REPLY_BODY%"
_TRACE = f"%REQ({TRACE_HEADER})%"
_TYPES = "type.googleapis.com/google.rpc."
_RETRY_AFTER_S = 1
_CODE_NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}


@dataclass(frozen=True)
class Reply:
    """How a local reply with this HTTP status (and with one of these response flags, if any) is rewritten.

    `grpc` names the code that a native gRPC client gets, if it is fixed; only then are details sent to the client.
    """

    status: int
    reason: Reason
    text: str
    flags: tuple[str, ...] = ()
    grpc: str = ""


# The first match applies.
REPLIES = (
    Reply(401, Reason.UNAUTHENTICATED, "The API key or token is missing, or was not accepted: send a valid key as "
          f"'x-api-key: soma_...', or a key or token as 'Authorization: Bearer ...' ({_BODY})", grpc="UNAUTHENTICATED"),
    Reply(403, Reason.UNAUTHENTICATED, "The credential was revoked, or was made for another audience",
          grpc="UNAUTHENTICATED"),
    Reply(404, Reason.ROUTE_NOT_FOUND, "No such path; /openapi.json lists all paths", grpc="UNIMPLEMENTED"),
    Reply(405, Reason.METHOD_NOT_ALLOWED, "This path does not have this method; see the Allow header"),
    Reply(408, Reason.DEADLINE_EXCEEDED, "The request was not received in time"),
    Reply(413, Reason.PAYLOAD_TOO_LARGE, "The request body is larger than this path allows"),
    Reply(415, Reason.UNSUPPORTED_MEDIA_TYPE, "Send the body with 'Content-Type: application/json'"),
    Reply(429, Reason.RATE_LIMITED, "Too many requests; slow down", grpc="RESOURCE_EXHAUSTED"),
    Reply(431, Reason.PAYLOAD_TOO_LARGE, "The request headers are larger than allowed"),
    Reply(503, Reason.OVERLOADED, "The service is at its limit of calls", flags=("UO",)),
    Reply(504, Reason.DEADLINE_EXCEEDED, "The call took longer than allowed; it may or may not have had an effect"),
    Reply(503, Reason.UNAVAILABLE, "The service cannot be reached now", grpc="UNAVAILABLE"),
    Reply(502, Reason.UNAVAILABLE, "The service broke off its answer"),
    Reply(400, Reason.INVALID_ARGUMENT, "This is not a well-formed HTTP request", flags=("DPE",)),
    Reply(400, Reason.INVALID_ARGUMENT, f"The request does not fit the API: {_BODY}"),
    Reply(501, Reason.UNIMPLEMENTED, "Not supported here"),
    Reply(500, Reason.INTERNAL, "The edge failed; quote the trace id"),
)  # fmt: skip

# HTTP statuses of the transcoder by gRPC code (google/rpc/code.proto).
_TRANSCODED_STATUS = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "INTERNAL": 500, "UNKNOWN": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip


def local_replies() -> hcm.LocalReplyConfig:
    """Rewrites every response that the edge generates itself."""
    mappers = [mapper for reply in REPLIES for mapper in (_for_grpc(reply), _for_json(reply))]
    return hcm.LocalReplyConfig(mappers=mappers, body_format=_json(Reason.INTERNAL, _BODY))


def lua_script() -> str:
    """Returns the Lua script, which sets the trace context of requests and leaves one credential in them; and which
    sets status and Retry-After of responses by their reason, and removes the body of responses to HEAD.
    """
    statuses = {reason: rule.http_status for reason, rule in STATUS_MAPPINGS.items() if _status_differs(rule)}
    retryable = {reason: "true" for reason, rule in STATUS_MAPPINGS.items() if rule.retryable}
    filled = _LUA_SCRIPT.replace("@STATUSES@", _lua_table(statuses)).replace("@RETRYABLE@", _lua_table(retryable))
    return filled.replace("@TRACE@", TRACE_HEADER).replace("@RETRY@", str(_RETRY_AFTER_S))


def _status_differs(rule: StatusMapping) -> bool:
    return _TRANSCODED_STATUS[rule.grpc_code] != rule.http_status


def _lua_table(entries: Mapping[Reason, object]) -> str:
    return "{" + ", ".join(f"{reason.value} = {value}" for reason, value in entries.items()) + "}"


# A local reply has no upstream timing, so there is no number before the "e-6" of its overhead.
# Header objects are valid until the script next waits for a body: they are fetched again after it.
_LUA_SCRIPT = """
local statuses = @STATUSES@
local retryable = @RETRYABLE@

-- The trace id of a traceparent that services accept; for others they would begin a trace that no response names.
local function trace_id_of(parent)
  local version, trace, span = parent:match("^([0-9a-f][0-9a-f])%-([0-9a-f]+)%-([0-9a-f]+)%-[0-9a-f][0-9a-f]$")
  if version == nil or version == "ff" or #trace ~= 32 or #span ~= 16 then return nil end
  if trace:find("[^0]") == nil or span:find("[^0]") == nil then return nil end
  return trace
end

-- Leaves the one credential that services use: a bearer token, else an API key. With both, the edge could check one
-- caller and a service serve another. Several values in one header become a token that is refused with 401.
local function one_credential(headers)
  local bearer, key = headers:get("authorization") or "", headers:get("x-api-key") or ""
  if bearer:lower():find("^bearer ") == nil then
    headers:remove("authorization")
    if key:find("[%s,]") == nil then return end
    bearer = ""
  end
  headers:remove("x-api-key")
  if bearer:find("^%a+ +[^%s,]+$") ~= nil then return end
  headers:remove("authorization")
  headers:add("authorization", "Bearer several")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  one_credential(headers)
  local trace = trace_id_of(headers:get("traceparent") or "")
  if trace == nil then
    trace = (headers:get("@TRACE@") or ""):gsub("-", "")
    headers:replace("traceparent", "00-" .. trace .. "-" .. trace:sub(17) .. "-01")
  end
  headers:replace("@TRACE@", trace)
  if headers:get(":method") == "HEAD" then
    handle:streamInfo():dynamicMetadata():set("edge", "head", true)
  end
end

local function retry_delay(handle)
  local body = handle:body()
  if body == nil or body:length() > 65536 then return "@RETRY@" end
  local text = body:getBytes(0, body:length())
  local seconds = tonumber(text:match('"retry_delay":%s*"([0-9.]+)s"') or "@RETRY@")
  return tostring(math.max(1, math.ceil(seconds)))
end

-- A rejected value may be a secret: it is not sent back.
local function redact(handle)
  local body = handle:body()
  if body == nil or body:length() > 65536 then return end
  local text = body:getBytes(0, body:length())
  local redacted = text:gsub('invalid value \\\\".-\\\\" for', 'invalid value for')
  if redacted == text then return end
  body:setBytes(redacted)
  handle:headers():replace("content-length", tostring(#redacted))
end

local function add_quota_headers(headers)
  for _, part in ipairs({"limit", "remaining", "reset"}) do
    local value = headers:get("x-ratelimit-" .. part)
    if value ~= nil then headers:replace("ratelimit-" .. part, value) end
  end
end

-- Rewrites an error response; returns whether it waited for the body.
local function rewrite_error(handle)
  local headers = handle:headers()
  local reason = headers:get("x-soma-reason")
  if reason == nil then
    if headers:get(":status") ~= "400" then return false end
    redact(handle)
    return true
  end
  local status = statuses[reason]
  if status ~= nil then headers:replace(":status", tostring(status)) end
  if not retryable[reason] or headers:get("retry-after") ~= nil then return false end
  local seconds = retry_delay(handle)
  handle:headers():replace("retry-after", seconds)
  return true
end

-- A response to HEAD equals the one to GET, with its content-length. A body that was waited for has no more chunks.
-- If the edge writes no body, its length may differ from the one of GET, whose text is changed here.
local function drop_body(handle, waited)
  if not waited then
    for chunk in handle:bodyChunks() do chunk:setBytes("") end
    return
  end
  local body = handle:body()
  if body == nil then
    handle:headers():remove("content-length")
    return
  end
  local length = tostring(body:length())
  body:setBytes("")
  handle:headers():replace("content-length", length)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("x-mesh-overhead-seconds") == "e-6" then headers:remove("x-mesh-overhead-seconds") end
  if (headers:get("content-type") or ""):find("application/grpc", 1, true) then return end
  headers:remove("grpc-accept-encoding")
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  if headers:get(":status") == "429" then add_quota_headers(headers) end
  local waited = rewrite_error(handle)
  local edge = handle:streamInfo():dynamicMetadata():get("edge")
  if edge ~= nil and edge["head"] then drop_body(handle, waited) end
end
"""


def _for_json(reply: Reply) -> hcm.ResponseMapper:
    rule = STATUS_MAPPINGS[reply.reason]
    headers = [header("retry-after", str(_RETRY_AFTER_S))] if rule.retryable else []
    return hcm.ResponseMapper(
        filter=_filter(reply),
        status_code=rule.http_status,
        body_format_override=_json(reply.reason, reply.text),
        headers_to_add=headers,
    )


def _for_grpc(reply: Reply) -> hcm.ResponseMapper:
    """For native gRPC the text becomes the status message, so it must not be JSON."""
    is_grpc = ro.HeaderMatcher(
        name="content-type",
        string_match=matcher.StringMatcher(safe_regex=matcher.RegexMatcher(regex=r"application/grpc(\+.*)?")),
    )
    # The transcoder turns a REST call into gRPC and sets the original path in a header.
    from_rest = ro.HeaderMatcher(name="x-envoy-original-path", present_match=True, invert_match=True)
    native = [al.AccessLogFilter(header_filter=al.HeaderFilter(header=test)) for test in (is_grpc, from_rest)]
    # Details must repeat the message, so they can accompany a fixed text only.
    fixed = reply.grpc and _BODY not in reply.text
    return hcm.ResponseMapper(
        filter=al.AccessLogFilter(and_filter=al.AndFilter(filters=[*native, _filter(reply)])),
        status_code=STATUS_MAPPINGS[reply.reason].http_status if reply.grpc == "UNAUTHENTICATED" else None,
        body_format_override=_text(reply.text),
        headers_to_add=[header("grpc-status-details-bin", _details(reply))] if fixed else [],
    )


def _details(reply: Reply) -> str:
    status = status_pb2.Status(code=_CODE_NUMBERS[reply.grpc], message=reply.text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reply.reason.value, domain=_DOMAIN))
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")


def _filter(reply: Reply) -> al.AccessLogFilter:
    comparison = al.ComparisonFilter(
        op=al.ComparisonFilterOp.EQ,
        value=core.RuntimeUInt32(default_value=reply.status, runtime_key=f"edge.reply.{reply.status}"),
    )
    by_status = al.AccessLogFilter(status_code_filter=al.StatusCodeFilter(comparison=comparison))
    if not reply.flags:
        return by_status
    by_flag = al.AccessLogFilter(response_flag_filter=al.ResponseFlagFilter(flags=[*reply.flags]))
    return al.AccessLogFilter(and_filter=al.AndFilter(filters=[by_status, by_flag]))


def _text(text: str) -> core.SubstitutionFormatString:
    return core.SubstitutionFormatString(
        text_format_source=core.DataSource(inline_string=text), content_type="text/plain"
    )


def _json(reason: Reason, message: str) -> core.SubstitutionFormatString:
    rule = STATUS_MAPPINGS[reason]
    info = {
        "@type": f"{_TYPES}ErrorInfo",
        "reason": reason.value,
        "domain": _DOMAIN,
        "metadata": {"trace_id": _TRACE},
    }
    retry = {"@type": f"{_TYPES}RetryInfo", "retry_delay": f"{_RETRY_AFTER_S}s"}
    body = {
        "code": _CODE_NUMBERS[rule.grpc_code],
        "message": message,
        "details": [info, retry] if rule.retryable else [info],
    }
    return core.SubstitutionFormatString(
        json_format=Struct.from_dict(body), content_type="application/json", omit_empty_values=True
    )
