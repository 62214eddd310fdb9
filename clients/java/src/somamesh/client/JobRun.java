package somamesh.client;

import com.google.protobuf.Struct;
import io.grpc.Channel;
import java.io.IOException;
import java.util.Iterator;
import soma.executor.v1.GetJobRequest;
import soma.executor.v1.Job;
import soma.executor.v1.JobEvent;
import soma.executor.v1.JobServiceGrpc;
import soma.executor.v1.JobServiceGrpc.JobServiceBlockingStub;
import soma.executor.v1.JobState;
import soma.executor.v1.SubmitJobRequest;
import soma.executor.v1.WatchJobRequest;

/** One run of a plan, printed as it goes. */
final class JobRun {
  private final JobServiceBlockingStub jobs;

  JobRun(Channel channel) {
    this.jobs = JobServiceGrpc.newBlockingStub(channel);
  }

  /** Submits a plan and follows its job; gives the id of the first asset, in the order of the steps. */
  String run(Struct plan, String requestId) throws IOException, InterruptedException {
    var request = SubmitJobRequest.newBuilder().setPlan(plan).setRequestId(requestId).build();
    String jobId = jobs.submitJob(request).getJobId();
    System.out.println("job " + jobId);
    new Watch(jobId).receiveAll();
    Job job = jobs.getJob(GetJobRequest.newBuilder().setJobId(jobId).build());
    System.out.println("state " + job.getState());
    if (job.getState() != JobState.JOB_STATE_COMPLETED) {
      throw new IOException("the job ended as " + job.getState() + ": " + job.getMessage());
    }
    return job.getStepsList().stream()
        .flatMap(step -> step.getAssetIdsList().stream())
        .findFirst()
        .orElseThrow(() -> new IOException("the job made no asset"));
  }

  /** Prints each event once, in order, until the last. */
  private final class Watch extends Resumable<JobEvent> {
    private final String jobId;
    private long after;
    private boolean ended;

    Watch(String jobId) {
      this.jobId = jobId;
    }

    @Override
    protected Iterator<JobEvent> open() {
      return jobs.watchJob(WatchJobRequest.newBuilder().setJobId(jobId).setAfter(after).build());
    }

    @Override
    protected boolean receive(JobEvent event) {
      ended = event.getTerminal();
      if (event.getSequence() <= after) {
        return false;
      }
      after = event.getSequence();
      String step = event.getStepId().isEmpty() ? "" : " " + event.getStepId() + " " + event.getStepState();
      System.out.println("event " + after + " " + event.getJobState() + step);
      return true;
    }

    @Override
    protected boolean isComplete() {
      return ended;
    }

    @Override
    protected void resuming(Exception cause) {
      System.err.println("resuming behind event " + after + ": " + cause.getMessage());
    }
  }
}
