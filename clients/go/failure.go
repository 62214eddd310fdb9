package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Failure is what a failed call said: docs/errors.md describes the details.
type Failure struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Message is for people.
	Message string
	// Reason is the reason of the ErrorInfo; empty when the status has none, as when the connection broke.
	Reason string
	// TraceID is what to quote when asking for help; may be empty.
	TraceID string
	// Fields are the violations of BadRequest, "field: description".
	Fields []string
	// RetryAfter is the time of RetryInfo; 0: none was given.
	RetryAfter time.Duration
}

// ReadFailure takes an error of a call apart.
func ReadFailure(err error) Failure {
	found := status.Convert(err)
	failure := Failure{Code: found.Code(), Message: found.Message()}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason = detail.GetReason()
			failure.TraceID = detail.GetMetadata()["trace_id"]
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.Fields = append(failure.Fields, violation.GetField()+": "+violation.GetDescription())
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return failure
}

// IsTemporary tells whether a stream that ended so may be resumed: the service is away or busy, or the connection broke.
func (f Failure) IsTemporary() bool {
	switch f.Code {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.Internal, codes.Unknown, codes.Canceled:
		return f.Reason == ""
	case codes.ResourceExhausted:
		return f.RetryAfter > 0
	default:
		return false
	}
}

// String gives the failure for people, one item a line.
func (f Failure) String() string {
	lines := []string{"error: " + code.Code(f.Code).String()}
	if f.Reason != "" {
		lines = append(lines, "reason: "+f.Reason)
	}
	lines = append(lines, "message: "+f.Message)
	for _, field := range f.Fields {
		lines = append(lines, "field: "+field)
	}
	if f.TraceID != "" {
		lines = append(lines, "trace: "+f.TraceID)
	}
	return strings.Join(lines, "\n")
}

// Describe gives any error for people: that of a call with its details, another as its text.
func Describe(err error) string {
	if isOfCall(err) {
		return ReadFailure(err).String()
	}
	return fmt.Sprintf("error: %v", err)
}

func isOfCall(err error) bool {
	var answered interface{ GRPCStatus() *status.Status }
	return errors.As(err, &answered)
}
