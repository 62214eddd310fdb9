package somamesh.client;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.Iterator;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.ThreadLocalRandom;

/** A stream of responses that is opened again where it ended. */
public abstract class Resumable<M> {
  /** Most attempts in a row that bring nothing. */
  private static final int MAX_ATTEMPTS = 8;

  private static final long FIRST_DELAY_MS = 500;
  private static final long MAX_DELAY_MS = 8_000;

  /** Longer than three heartbeats of a watch, which come at least every 15 s. */
  private static final long MAX_IDLE_MS = 50_000;

  private boolean progress;

  /** Begins the call behind what was received so far. */
  protected abstract Iterator<M> open();

  /** Takes one message; false for one that brings nothing, such as a heartbeat. */
  protected abstract boolean receive(M message) throws IOException;

  /** Tells whether all was received. */
  protected abstract boolean isComplete();

  /** Called before the stream is opened again, with what ended it. */
  protected abstract void resuming(Exception cause);

  /** Receives until all is there. Gives up with the last error after 8 attempts in a row that brought nothing. */
  public final void receiveAll() throws IOException, InterruptedException {
    for (int attempt = 0; !isComplete(); attempt++) {
      progress = false;
      StatusRuntimeException error = receiveOnce();
      if (isComplete()) {
        return;
      }
      attempt = progress ? 0 : attempt;
      Failure failure = Failure.of(error);
      if (!failure.isTemporary() || attempt + 1 >= MAX_ATTEMPTS) {
        throw error;
      }
      resuming(error);
      Thread.sleep(Math.max(delayMs(attempt), failure.retryAfter().toMillis()));
    }
  }

  /** Reads one stream to its end; gives what ended it too early. Errors of this program, such as a full disk, are thrown. */
  private StatusRuntimeException receiveOnce() throws IOException {
    Context.CancellableContext call = Context.current().withCancellation();
    IdleTimer idle = new IdleTimer(call);
    Context before = call.attach();
    try {
      Iterator<M> messages = open();
      while (!isComplete() && messages.hasNext()) {
        idle.restart();
        progress |= receive(messages.next());
      }
      return Status.UNAVAILABLE.withDescription("the stream ended before its last message").asRuntimeException();
    } catch (StatusRuntimeException error) {
      return error;
    } finally {
      call.detach(before);
      call.cancel(null);
      idle.close();
    }
  }

  /** Doubles with each attempt, up to its bound, less up to a half by chance so that clients do not come at once. */
  private static long delayMs(int attempt) {
    long full = Math.min(FIRST_DELAY_MS << attempt, MAX_DELAY_MS);
    return full / 2 + ThreadLocalRandom.current().nextLong(full / 2);
  }

  /** Cancels a call that brought nothing for too long. */
  private static final class IdleTimer implements AutoCloseable {
    private final Timer timer = new Timer("idle", true);
    private final Context.CancellableContext call;
    private TimerTask task;

    IdleTimer(Context.CancellableContext call) {
      this.call = call;
      begin();
    }

    /** A message came: the time begins anew. */
    void restart() {
      task.cancel();
      begin();
    }

    private void begin() {
      task =
          new TimerTask() {
            @Override
            public void run() {
              call.cancel(null);
            }
          };
      timer.schedule(task, MAX_IDLE_MS);
    }

    @Override
    public void close() {
      timer.cancel();
    }
  }
}
