package somamesh.client;

import com.google.gson.Gson;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Connections to the edge of SomaMesh: TLS, the credential, deadlines and retries. */
public final class Connection {
  /** What the services send at most. */
  private static final int MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

  private static final long KEEPALIVE_SECONDS = 30;
  private static final long KEEPALIVE_TIMEOUT_SECONDS = 10;

  private Connection() {}

  /**
   * Opens a channel to the edge at host:port that sends the API key (or token) with each call, over TLS only.
   *
   * <p>{@code caFile} is a PEM file with the authorities that are trusted. Throws when it cannot be read or used; that
   * nobody answers is known at the first call.
   */
  public static ManagedChannel open(String address, File caFile, String credential) throws IOException {
    ChannelCredentials transport = TlsChannelCredentials.newBuilder().trustManager(caFile).build();
    return Grpc.newChannelBuilder(address, CompositeChannelCredentials.create(transport, new Bearer(credential)))
        .defaultServiceConfig(serviceConfig())
        .disableServiceConfigLookUp()
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .keepAliveTime(KEEPALIVE_SECONDS, TimeUnit.SECONDS)
        .keepAliveTimeout(KEEPALIVE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
        .build();
  }

  /** Gives the deadline and the retry policy of each method, as the contracts state them. */
  @SuppressWarnings("unchecked")
  private static Map<String, ?> serviceConfig() throws IOException {
    var resource = Objects.requireNonNull(Connection.class.getResourceAsStream("/service_config.json"));
    try (Reader reader = new InputStreamReader(resource, StandardCharsets.UTF_8)) {
      return new Gson().fromJson(reader, Map.class);
    }
  }

  /** Sends a credential as authorization metadata; as part of the channel's credentials, over its TLS alone. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final String credential;

    Bearer(String credential) {
      this.credential = credential;
    }

    @Override
    public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + credential);
      applier.apply(headers);
    }
  }
}
