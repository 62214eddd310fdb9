package main

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	client "somamesh.example/clients/go"
	executorv1 "somamesh.example/clients/go/gen/soma/executor/v1"
)

// runJob submits a plan and follows its job; gives the id of the first asset, in the order of the steps.
func runJob(
	ctx context.Context, channel *grpc.ClientConn, plan *structpb.Struct, requestID string, stdout, stderr io.Writer,
) (string, error) {
	jobs := executorv1.NewJobServiceClient(channel)
	submitted, err := jobs.SubmitJob(ctx, &executorv1.SubmitJobRequest{Plan: plan, RequestId: requestID})
	if err != nil {
		return "", err
	}
	fmt.Fprintf(stdout, "job %s\n", submitted.GetJobId())
	if err := watchJob(ctx, jobs, submitted.GetJobId(), stdout, stderr); err != nil {
		return "", err
	}
	job, err := jobs.GetJob(ctx, &executorv1.GetJobRequest{JobId: submitted.GetJobId()})
	if err != nil {
		return "", err
	}
	fmt.Fprintf(stdout, "state %s\n", job.GetState())
	if job.GetState() != executorv1.JobState_JOB_STATE_COMPLETED {
		return "", fmt.Errorf("the job ended as %s: %s", job.GetState(), job.GetMessage())
	}
	for _, step := range job.GetSteps() {
		if len(step.GetAssetIds()) > 0 {
			return step.GetAssetIds()[0], nil
		}
	}
	return "", fmt.Errorf("the job made no asset")
}

// watchJob prints each event once, in order, until the last.
func watchJob(ctx context.Context, jobs executorv1.JobServiceClient, jobID string, stdout, stderr io.Writer) error {
	var after int64
	ended := false
	return client.Resumable[executorv1.JobEvent]{
		Open: func(ctx context.Context) (client.Stream[executorv1.JobEvent], error) {
			return jobs.WatchJob(ctx, &executorv1.WatchJobRequest{JobId: jobID, After: after})
		},
		Receive: func(event *executorv1.JobEvent) (bool, error) {
			ended = event.GetTerminal()
			if event.GetSequence() <= after {
				return false, nil
			}
			after = event.GetSequence()
			printEvent(stdout, event)
			return true, nil
		},
		IsComplete: func() bool { return ended },
		Resuming: func(cause error) {
			fmt.Fprintf(stderr, "resuming behind event %d: %v\n", after, cause)
		},
	}.Run(ctx)
}

func printEvent(stdout io.Writer, event *executorv1.JobEvent) {
	fmt.Fprintf(stdout, "event %d %s", event.GetSequence(), event.GetJobState())
	if event.GetStepId() != "" {
		fmt.Fprintf(stdout, " %s %s", event.GetStepId(), event.GetStepState())
	}
	fmt.Fprintln(stdout)
}
