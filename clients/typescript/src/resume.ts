// Streams of responses that are opened again where they ended.
import { setTimeout as wait } from "node:timers/promises";

import type { ClientReadableStream } from "@grpc/grpc-js";

import { isOfCall, isTemporary, readFailure } from "./failure.js";

/** Most attempts in a row that bring nothing. */
const MAX_ATTEMPTS = 8;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;
/** Longer than three heartbeats of a watch, which come at least every 15 s. */
const MAX_IDLE_MS = 50_000;

/** A stream of responses that can be opened again where it ended. */
export interface Resumable<Message> {
  /** Begins the call behind what was received so far. */
  open(): ClientReadableStream<Message>;
  /** Takes one message; false for one that brings nothing, such as a heartbeat. */
  receive(message: Message): boolean | Promise<boolean>;
  /** Tells whether all was received. */
  isComplete(): boolean;
  /** Called before the stream is opened again, with what ended it. */
  resuming(cause: Error): void;
}

class EndedEarlyError extends Error {
  constructor() {
    super("the stream ended before its last message");
  }
}

/** Receives until all is there. Gives up with the last error after 8 attempts in a row that brought nothing. */
export async function receiveAll<Message>(stream: Resumable<Message>): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const { progress, error } = await receiveOnce(stream);
    if (error === undefined) {
      return;
    }
    if (progress) {
      attempt = 0;
    }
    if (!mayResume(error) || attempt + 1 >= MAX_ATTEMPTS) {
      throw error;
    }
    stream.resuming(error);
    await wait(Math.max(delayMs(attempt), isOfCall(error) ? readFailure(error).retryAfterMs : 0));
  }
}

/** Reads one stream to its end: whether it brought anything, and what ended it too early. */
async function receiveOnce<Message>(stream: Resumable<Message>): Promise<{ progress: boolean; error?: Error }> {
  let progress = false;
  if (stream.isComplete()) {
    return { progress };
  }
  const call = stream.open();
  const idle = setTimeout(() => call.cancel(), MAX_IDLE_MS);
  try {
    for await (const message of call) {
      idle.refresh();
      progress = (await stream.receive(message as Message)) || progress;
      if (stream.isComplete()) {
        return { progress };
      }
    }
    return { progress, error: new EndedEarlyError() };
  } catch (error) {
    return { progress, error: error as Error };
  } finally {
    clearTimeout(idle);
    call.cancel();
  }
}

/** False for errors of this program, such as a full disk, and for refusals. */
function mayResume(error: Error): boolean {
  return error instanceof EndedEarlyError || (isOfCall(error) && isTemporary(readFailure(error)));
}

/** Doubles with each attempt, up to its bound, less up to a half by chance so that clients do not come at once. */
function delayMs(attempt: number): number {
  const full = Math.min(FIRST_DELAY_MS * 2 ** attempt, MAX_DELAY_MS);
  return full * (0.5 + Math.random() / 2);
}
