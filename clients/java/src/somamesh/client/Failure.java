package somamesh.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.file.FileSystemException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What a failed call said: docs/errors.md describes the details.
 *
 * @param code the gRPC status code
 * @param message for people
 * @param reason reason of the ErrorInfo; empty when the status has none, as when the connection broke
 * @param traceId what to quote when asking for help; may be empty
 * @param fields violations of BadRequest, "field: description"
 * @param retryAfter time of RetryInfo; zero: none was given
 */
public record Failure(
    Status.Code code, String message, String reason, String traceId, List<String> fields, Duration retryAfter) {

  /** Takes the error of a call apart. */
  public static Failure of(StatusRuntimeException error) {
    String reason = "";
    String traceId = "";
    List<String> fields = new ArrayList<>();
    Duration retryAfter = Duration.ZERO;
    try {
      for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          reason = info.getReason();
          traceId = info.getMetadataOrDefault("trace_id", "");
        } else if (detail.is(BadRequest.class)) {
          for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
            fields.add(violation.getField() + ": " + violation.getDescription());
          }
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      // Code and message say what they can.
    }
    return new Failure(
        error.getStatus().getCode(), message(error.getStatus()), reason, traceId, List.copyOf(fields), retryAfter);
  }

  /** Of a broken connection the description says little, and the cause says which. */
  private static String message(Status status) {
    String description = status.getDescription() == null ? "" : status.getDescription();
    return status.getCause() == null ? description : description + ": " + status.getCause().getMessage();
  }

  /** Tells whether a stream that ended so may be resumed: the service is away or busy, or the connection broke. */
  public boolean isTemporary() {
    return switch (code) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> true;
      case INTERNAL, UNKNOWN, CANCELLED -> reason.isEmpty();
      case RESOURCE_EXHAUSTED -> !retryAfter.isZero();
      default -> false;
    };
  }

  /** Gives any error for people, one item a line: that of a call with its details, another as its text. */
  public static String describe(Exception error) {
    if (!(error instanceof StatusRuntimeException answered)) {
      // The message of a FileSystemException is the bare path.
      String kind = error instanceof FileSystemException ? error.getClass().getSimpleName() + ": " : "";
      return "error: " + kind + error.getMessage();
    }
    Failure failure = of(answered);
    List<String> lines = new ArrayList<>();
    lines.add("error: " + failure.code);
    if (!failure.reason.isEmpty()) {
      lines.add("reason: " + failure.reason);
    }
    lines.add("message: " + failure.message);
    failure.fields.forEach(field -> lines.add("field: " + field));
    if (!failure.traceId.isEmpty()) {
      lines.add("trace: " + failure.traceId);
    }
    return String.join("\n", lines);
  }
}
