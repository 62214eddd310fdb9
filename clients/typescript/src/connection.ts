// Connections to the edge of SomaMesh: TLS, the credential, deadlines and retries.
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";

import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";

/** Where the service config is kept beside the compiled code: deadline and retry policy of each method. */
const SERVICE_CONFIG = new URL("../gen/service_config.json", import.meta.url);

/** What the services send at most. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

/** Options of every channel. */
export function channelOptions(): ChannelOptions {
  return {
    "grpc.service_config": readFileSync(SERVICE_CONFIG, "utf8"),
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
  };
}

/**
 * Credentials that send an API key (or token) with each call, over TLS 1.3 only.
 *
 * `caFile` names a PEM file with the authorities that are trusted. Throws when it cannot be read or used.
 */
export function channelCredentials(caFile: string, credential: string): ChannelCredentials {
  const authorities = readFileSync(caFile);
  if (!authorities.includes("BEGIN CERTIFICATE")) {
    throw new Error(`${caFile} holds no certificate in PEM form`);
  }
  const transport = credentials.createFromSecureContext(
    createSecureContext({ ca: authorities, minVersion: "TLSv1.3" }),
  );
  const caller = credentials.createFromMetadataGenerator((_, callback) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${credential}`);
    callback(null, metadata);
  });
  return credentials.combineChannelCredentials(transport, caller);
}

/** Makes a promise of a unary call: `unary((done) => jobs.getJob(request, done))`. */
export function unary<Response>(
  call: (done: (error: Error | null, response: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}
