package somamesh.client;

import com.google.api.HttpBody;
import io.grpc.Channel;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.UUID;
import soma.assets.v1.Asset;
import soma.assets.v1.AssetServiceGrpc;
import soma.assets.v1.AssetServiceGrpc.AssetServiceBlockingStub;
import soma.assets.v1.DownloadAssetRequest;
import soma.assets.v1.GetAssetRequest;

/** The download of one asset, piece by piece. */
final class Download extends Resumable<HttpBody> {
  private final AssetServiceBlockingStub assets;
  private final Asset asset;
  private final OutputStream file;
  private final MessageDigest hash;
  private long offset;

  private Download(AssetServiceBlockingStub assets, Asset asset, OutputStream file) {
    this.assets = assets;
    this.asset = asset;
    this.file = file;
    try {
      this.hash = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible); // every Java has SHA-256
    }
  }

  /**
   * What was downloaded.
   *
   * @param name as the asset has it
   * @param size in bytes
   * @param sha256 in lower-case hex
   */
  record SavedFile(String name, long size, String sha256) {}

  /** Writes an asset to {@code output}, which appears only when it is complete and its hash is that of the asset. */
  static SavedFile save(Channel channel, String assetId, Path output) throws IOException, InterruptedException {
    AssetServiceBlockingStub assets = AssetServiceGrpc.newBlockingStub(channel);
    Asset asset = assets.getAsset(GetAssetRequest.newBuilder().setAssetId(assetId).build());
    Path partial = Path.of(output + "." + UUID.randomUUID() + ".part");
    try {
      String received;
      try (OutputStream file = Files.newOutputStream(partial, StandardOpenOption.CREATE_NEW)) {
        Download download = new Download(assets, asset, file);
        download.receiveAll();
        received = HexFormat.of().formatHex(download.hash.digest());
      }
      if (!received.equals(asset.getChecksumSha256())) {
        throw new IOException("the SHA-256 received is " + received + ", of the asset " + asset.getChecksumSha256());
      }
      Files.move(partial, output, StandardCopyOption.ATOMIC_MOVE);
      return new SavedFile(asset.getFilename(), asset.getSizeBytes(), received);
    } finally {
      Files.deleteIfExists(partial); // it is gone once it has been renamed
    }
  }

  @Override
  protected Iterator<HttpBody> open() {
    return assets.downloadAsset(
        DownloadAssetRequest.newBuilder().setAssetId(asset.getAssetId()).setReadOffset(offset).build());
  }

  @Override
  protected boolean receive(HttpBody piece) throws IOException {
    byte[] data = piece.getData().toByteArray();
    file.write(data);
    hash.update(data);
    offset += data.length;
    return data.length > 0;
  }

  @Override
  protected boolean isComplete() {
    return offset >= asset.getSizeBytes();
  }

  @Override
  protected void resuming(Exception cause) {
    System.err.println("resuming at byte " + offset + ": " + cause.getMessage());
  }
}
