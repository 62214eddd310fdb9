import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";

import type { HttpBody } from "../gen/google/api/httpbody.js";
import type { Asset } from "../gen/soma/assets/v1/asset.js";
import {
  type AssetServiceClient, DownloadAssetRequest, GetAssetRequest,
} from "../gen/soma/assets/v1/asset_service.js";
import { unary } from "./connection.js";
import { print } from "./job.js";
import { receiveAll } from "./resume.js";

/** What was downloaded: name as the asset has it, size in bytes, SHA-256 in lower-case hex. */
export interface SavedFile {
  name: string;
  size: number;
  sha256: string;
}

/** Writes an asset to `output`, which appears only when it is complete and its hash is that of the asset. */
export async function download(assets: AssetServiceClient, assetId: string, output: string): Promise<SavedFile> {
  const asset = await unary<Asset>((done) => assets.getAsset(GetAssetRequest.fromPartial({ assetId }), done));
  const partial = `${output}.${randomUUID()}.part`;
  try {
    const file = await open(partial, "wx");
    const saved = await receive(assets, asset, file).finally(() => file.close());
    if (saved.sha256 !== asset.checksumSha256) {
      throw new Error(`the SHA-256 received is ${saved.sha256}, of the asset ${asset.checksumSha256}`);
    }
    await rename(partial, output);
    return saved;
  } finally {
    await rm(partial, { force: true }); // it is gone once it has been renamed
  }
}

async function receive(assets: AssetServiceClient, asset: Asset, file: FileHandle): Promise<SavedFile> {
  const hash = createHash("sha256");
  let offset = 0n;
  await receiveAll<HttpBody>({
    open: () => assets.downloadAsset(DownloadAssetRequest.fromPartial({ assetId: asset.assetId, readOffset: offset })),
    receive: async ({ data }) => {
      await file.writeFile(data);
      hash.update(data);
      offset += BigInt(data.length);
      return data.length > 0;
    },
    isComplete: () => offset >= asset.sizeBytes,
    resuming: (cause) => print(2, `resuming at byte ${offset}: ${cause.message}`),
  });
  return { name: asset.filename, size: Number(offset), sha256: hash.digest("hex") };
}
