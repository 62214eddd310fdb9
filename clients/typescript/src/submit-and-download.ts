// Submits a plan, follows its job to the end and saves the first asset that it made.
//
// The API key is read from the environment variable SOMA_API_KEY. Exit codes: 0 done, 1 a call or the job failed, 2 the
// command line is wrong.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { parseArgs } from "node:util";

import type { ChannelCredentials } from "@grpc/grpc-js";

import { AssetServiceClient } from "../gen/soma/assets/v1/asset_service.js";
import { JobServiceClient } from "../gen/soma/executor/v1/job_service.js";
import { channelCredentials, channelOptions } from "./connection.js";
import { download } from "./download.js";
import { describe } from "./failure.js";
import { print, runJob } from "./job.js";

const KEY_VARIABLE = "SOMA_API_KEY";
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const USAGE = `Usage: submit-and-download --ca-file FILE --plan FILE --output FILE [--address HOST:PORT] [--request-id ID]
  --address     host:port of the edge (default 127.0.0.1:8010)
  --ca-file     PEM file with the authority of the edge's certificate
  --plan        file with a Task-DSL plan
  --output      file to write
  --request-id  the same id gives the same job; default: a new one
The API key is read from ${KEY_VARIABLE}.`;

interface Options {
  address: string;
  credentials: ChannelCredentials;
  plan: Record<string, unknown>;
  output: string;
  requestId: string;
}

async function main(): Promise<number> {
  let given: Options;
  try {
    given = parse();
  } catch (error) {
    print(2, describe(error));
    print(2, USAGE);
    return EXIT_USAGE;
  }
  try {
    await submitAndDownload(given);
    return 0;
  } catch (error) {
    print(2, describe(error));
    return EXIT_FAILED;
  }
}

function parse(): Options {
  const { values } = parseArgs({
    options: {
      address: { type: "string", default: "127.0.0.1:8010" },
      "ca-file": { type: "string" },
      plan: { type: "string" },
      output: { type: "string" },
      "request-id": { type: "string" },
    },
  });
  const key = process.env[KEY_VARIABLE];
  const { "ca-file": caFile, plan, output } = values;
  if (caFile === undefined || plan === undefined || output === undefined) {
    throw new Error("--ca-file, --plan and --output are needed");
  }
  if (!key) {
    throw new Error(`the environment variable ${KEY_VARIABLE} holds no API key`);
  }
  return {
    address: values.address,
    credentials: channelCredentials(caFile, key),
    plan: readPlan(plan),
    output,
    requestId: values["request-id"] ?? randomUUID(),
  };
}

function readPlan(file: string): Record<string, unknown> {
  const text = readFileSync(file, "utf8");
  const found: unknown = JSON.parse(text);
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    throw new Error(`${file} holds no JSON object`);
  }
  return found as Record<string, unknown>;
}

async function submitAndDownload({ address, credentials, plan, output, requestId }: Options): Promise<void> {
  if (isIP(address.slice(0, address.lastIndexOf(":"))) !== 0) {
    process.noDeprecation = true; // grpc-js names the IP address to the server, which Node ignores with a warning
  }
  const jobs = new JobServiceClient(address, credentials, channelOptions());
  const assets = new AssetServiceClient(address, credentials, { ...channelOptions(), channelOverride: jobs.getChannel() });
  try {
    const assetId = await runJob(jobs, plan, requestId);
    const saved = await download(assets, assetId, output);
    print(1, `file ${saved.name}`);
    print(1, `bytes ${saved.size}`);
    print(1, `sha256 ${saved.sha256}`);
  } finally {
    jobs.close();
  }
}

process.exitCode = await main();
