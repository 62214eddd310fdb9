package somamesh.client;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * Submits a plan, follows its job to the end and saves the first asset that it made.
 *
 * <p>The API key is read from the environment variable SOMA_API_KEY. Exit codes: 0 done, 1 a call or the job failed, 2
 * the command line is wrong.
 */
public final class SubmitAndDownload {
  private static final String KEY_VARIABLE = "SOMA_API_KEY";
  private static final int EXIT_FAILED = 1;
  private static final int EXIT_USAGE = 2;
  private static final List<String> OPTIONS = List.of("address", "ca-file", "plan", "output", "request-id");
  private static final String USAGE =
      """
      Usage: submit-and-download --ca-file FILE --plan FILE --output FILE [--address HOST:PORT] [--request-id ID]
        --address     host:port of the edge (default 127.0.0.1:8010)
        --ca-file     PEM file with the authority of the edge's certificate
        --plan        file with a Task-DSL plan
        --output      file to write
        --request-id  the same id gives the same job; default: a new one
      The API key is read from SOMA_API_KEY.""";

  private SubmitAndDownload() {}

  /** Runs the program. */
  public static void main(String[] arguments) {
    System.exit(run(arguments, System.getenv(KEY_VARIABLE)));
  }

  private static int run(String[] arguments, String key) {
    Map<String, String> options;
    Struct plan;
    ManagedChannel channel;
    try {
      options = parse(arguments);
      plan = readPlan(Path.of(options.get("plan")));
      if (key == null || key.isEmpty()) {
        throw new IllegalArgumentException("the environment variable " + KEY_VARIABLE + " holds no API key");
      }
      channel = Connection.open(options.get("address"), new File(options.get("ca-file")), key);
    } catch (IOException | IllegalArgumentException error) {
      System.err.println(Failure.describe(error));
      System.err.println(USAGE);
      return EXIT_USAGE;
    }
    try {
      String assetId = new JobRun(channel).run(plan, options.get("request-id"));
      Download.SavedFile saved = Download.save(channel, assetId, Path.of(options.get("output")));
      System.out.printf("file %s%nbytes %d%nsha256 %s%n", saved.name(), saved.size(), saved.sha256());
      return 0;
    } catch (IOException | InterruptedException | StatusRuntimeException error) {
      System.err.println(Failure.describe(error));
      return EXIT_FAILED;
    } finally {
      channel.shutdownNow();
    }
  }

  private static Map<String, String> parse(String[] arguments) {
    Map<String, String> given = new HashMap<>(Map.of("address", "127.0.0.1:8010"));
    given.put("request-id", UUID.randomUUID().toString());
    for (int at = 0; at < arguments.length; at += 2) {
      String name = arguments[at].replaceFirst("^--", "");
      if (!arguments[at].startsWith("--") || !OPTIONS.contains(name)) {
        throw new IllegalArgumentException(arguments[at] + " is no option");
      }
      if (at + 1 == arguments.length) {
        throw new IllegalArgumentException(arguments[at] + " has no value");
      }
      given.put(name, arguments[at + 1]);
    }
    for (String name : List.of("ca-file", "plan", "output")) {
      if (!given.containsKey(name)) {
        throw new IllegalArgumentException("--" + name + " is missing");
      }
    }
    return given;
  }

  private static Struct readPlan(Path file) throws IOException {
    Struct.Builder plan = Struct.newBuilder();
    try {
      JsonFormat.parser().merge(Files.readString(file), plan);
    } catch (InvalidProtocolBufferException error) {
      throw new IOException(file + " holds no JSON object: " + error.getMessage(), error);
    }
    return plan.build();
  }
}
