// Errors of calls: docs/errors.md describes their details.
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "../gen/google/rpc/error_details.js";
import { Status } from "../gen/google/rpc/status.js";

/** What a failed call said. */
export interface Failure {
  /** The gRPC status code. */
  code: status;
  /** For people. */
  message: string;
  /** Reason of the ErrorInfo; empty when the status has none, as when the connection broke. */
  reason: string;
  /** What to quote when asking for help; may be empty. */
  traceId: string;
  /** Violations of BadRequest, "field: description". */
  fields: string[];
  /** Time of RetryInfo in milliseconds; 0: none was given. */
  retryAfterMs: number;
}

/** Tells the error of a call from any other. */
export function isOfCall(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && error.metadata instanceof Metadata;
}

/** Takes the error of a call apart. */
export function readFailure(error: ServiceError): Failure {
  const failure: Failure = {
    code: error.code, message: error.details, reason: "", traceId: "", fields: [], retryAfterMs: 0,
  };
  for (const encoded of error.metadata.get("grpc-status-details-bin")) {
    for (const { typeUrl, value } of Status.decode(encoded as Buffer).details) {
      readDetail(failure, typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value);
    }
  }
  return failure;
}

function readDetail(failure: Failure, type: string, value: Uint8Array): void {
  if (type === "google.rpc.ErrorInfo") {
    const info = ErrorInfo.decode(value);
    failure.reason = info.reason;
    failure.traceId = info.metadata["trace_id"] ?? "";
  } else if (type === "google.rpc.BadRequest") {
    const violations = BadRequest.decode(value).fieldViolations;
    failure.fields.push(...violations.map(({ field, description }) => `${field}: ${description}`));
  } else if (type === "google.rpc.RetryInfo") {
    const delay = RetryInfo.decode(value).retryDelay;
    failure.retryAfterMs = Number(delay?.seconds ?? 0n) * 1000 + (delay?.nanos ?? 0) / 1e6;
  }
}

/** Tells whether a stream that ended so may be resumed: the service is away or busy, or the connection broke. */
export function isTemporary(failure: Failure): boolean {
  switch (failure.code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return true;
    case status.INTERNAL:
    case status.UNKNOWN:
    case status.CANCELLED:
      return failure.reason === "";
    case status.RESOURCE_EXHAUSTED:
      return failure.retryAfterMs > 0;
    default:
      return false;
  }
}

/** Gives any error for people, one item a line: that of a call with its details, another as its text. */
export function describe(error: unknown): string {
  if (!isOfCall(error)) {
    return `error: ${error instanceof Error ? error.message : String(error)}`;
  }
  const failure = readFailure(error);
  return [
    `error: ${status[failure.code]}`,
    ...(failure.reason ? [`reason: ${failure.reason}`] : []),
    `message: ${failure.message}`,
    ...failure.fields.map((field) => `field: ${field}`),
    ...(failure.traceId ? [`trace: ${failure.traceId}`] : []),
  ].join("\n");
}
