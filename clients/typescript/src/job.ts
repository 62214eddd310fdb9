import { writeSync } from "node:fs";

import { type Job, type JobEvent, JobState, jobStateToJSON, stepStateToJSON } from "../gen/soma/executor/v1/job.js";
import {
  GetJobRequest, type JobServiceClient, SubmitJobRequest, WatchJobRequest,
} from "../gen/soma/executor/v1/job_service.js";
import { unary } from "./connection.js";
import { receiveAll } from "./resume.js";

/** Prints a line at once, also into a pipe. */
export function print(descriptor: 1 | 2, line: string): void {
  writeSync(descriptor, `${line}\n`);
}

/** Submits a plan and follows its job; gives the id of the first asset, in the order of the steps. */
export async function runJob(
  jobs: JobServiceClient, plan: Record<string, unknown>, requestId: string,
): Promise<string> {
  const submitted = await unary<Job>((done) =>
    jobs.submitJob(SubmitJobRequest.fromPartial({ plan, requestId }), done),
  );
  print(1, `job ${submitted.jobId}`);
  await watchJob(jobs, submitted.jobId);
  const job = await unary<Job>((done) => jobs.getJob(GetJobRequest.fromPartial({ jobId: submitted.jobId }), done));
  const state = jobStateToJSON(job.state);
  print(1, `state ${state}`);
  if (job.state !== JobState.JOB_STATE_COMPLETED) {
    throw new Error(`the job ended as ${state}: ${job.message}`);
  }
  const assetId = job.steps.flatMap((step) => step.assetIds)[0];
  if (assetId === undefined) {
    throw new Error("the job made no asset");
  }
  return assetId;
}

/** Prints each event once, in order, until the last. */
async function watchJob(jobs: JobServiceClient, jobId: string): Promise<void> {
  let after = 0n;
  let ended = false;
  await receiveAll<JobEvent>({
    open: () => jobs.watchJob(WatchJobRequest.fromPartial({ jobId, after })),
    receive: (event) => {
      ended = event.terminal;
      if (event.sequence <= after) {
        return false;
      }
      after = event.sequence;
      printEvent(event);
      return true;
    },
    isComplete: () => ended,
    resuming: (cause) => print(2, `resuming behind event ${after}: ${cause.message}`),
  });
}

function printEvent(event: JobEvent): void {
  const step = event.stepId === "" ? "" : ` ${event.stepId} ${stepStateToJSON(event.stepState)}`;
  print(1, `event ${event.sequence} ${jobStateToJSON(event.jobState)}${step}`);
}
