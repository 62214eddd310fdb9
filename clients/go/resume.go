package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"
)

const (
	// maxAttempts is the most attempts in a row that bring nothing.
	maxAttempts = 8
	firstDelay  = 500 * time.Millisecond
	maxDelay    = 8 * time.Second
	// maxIdle is longer than three heartbeats of a watch, which come at least every 15 s.
	maxIdle = 50 * time.Second
)

// Stream is the receiving half of a call that answers with a stream.
type Stream[M any] interface {
	Recv() (*M, error)
}

// Resumable is a stream of responses that can be opened again where it ended.
type Resumable[M any] struct {
	// Open begins the call behind what was received so far.
	Open func(ctx context.Context) (Stream[M], error)
	// Receive takes one message; progress is false for one that brings nothing, such as a heartbeat.
	Receive func(message *M) (progress bool, err error)
	// IsComplete tells whether all was received.
	IsComplete func() bool
	// Resuming is called before the stream is opened again, with what ended it.
	Resuming func(cause error)
}

// Run receives until all is there. It gives up with the last error after 8 attempts in a row that brought nothing.
func (r Resumable[M]) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		progress, err := r.receiveAll(ctx)
		if r.IsComplete() || ctx.Err() != nil {
			return err
		}
		if progress {
			attempt = 0
		}
		if !mayResume(err) || attempt+1 >= maxAttempts {
			return err
		}
		r.Resuming(err)
		if err := wait(ctx, max(delay(attempt), ReadFailure(err).RetryAfter)); err != nil {
			return err
		}
	}
}

// errEndedEarly is the end of a stream that reports no error, but not all was received.
var errEndedEarly = errors.New("the stream ended before its last message")

// mayResume is false for errors of this program, such as a full disk, and for refusals.
func mayResume(err error) bool {
	return errors.Is(err, errEndedEarly) || (isOfCall(err) && ReadFailure(err).IsTemporary())
}

// receiveAll reads one stream to its end; whether it brought anything, and what ended it.
func (r Resumable[M]) receiveAll(parent context.Context) (progress bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	idle := time.AfterFunc(maxIdle, cancel)
	defer idle.Stop()
	stream, err := r.Open(ctx)
	if err != nil {
		return false, err
	}
	for !r.IsComplete() {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if r.IsComplete() {
				return progress, nil
			}
			return progress, errEndedEarly
		}
		if err != nil {
			return progress, err
		}
		idle.Reset(maxIdle)
		brought, err := r.Receive(message)
		if err != nil {
			return progress, err
		}
		progress = progress || brought
	}
	return progress, nil
}

// delay doubles with each attempt, up to its bound, less up to a half by chance so that clients do not come at once.
func delay(attempt int) time.Duration {
	full := min(firstDelay<<attempt, maxDelay)
	return full/2 + rand.N(full/2)
}

func wait(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
