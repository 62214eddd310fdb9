// Submit-and-download submits a plan, follows its job to the end and saves the first asset that it made.
//
// The API key is read from the environment variable SOMA_API_KEY. Exit codes: 0 done, 1 a call or the job failed, 2 the
// command line is wrong.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	client "somamesh.example/clients/go"
)

const (
	keyVariable = "SOMA_API_KEY"
	exitFailed  = 1
	exitUsage   = 2
)

type options struct {
	address, caFile, planFile, output, requestID, key string
}

func main() {
	os.Exit(run(os.Args[1:], os.Getenv(keyVariable), os.Stdout, os.Stderr))
}

func run(arguments []string, key string, stdout, stderr io.Writer) int {
	given, err := parse(arguments, key, stderr)
	if err != nil {
		fmt.Fprintln(stderr, client.Describe(err))
		return exitUsage
	}
	plan, err := readPlan(given.planFile)
	if err != nil {
		fmt.Fprintln(stderr, client.Describe(err))
		return exitUsage
	}
	channel, err := client.Connect(given.address, given.caFile, given.key)
	if err != nil {
		fmt.Fprintln(stderr, client.Describe(err))
		return exitUsage
	}
	defer channel.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := submitAndDownload(ctx, channel, given, plan, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, client.Describe(err))
		return exitFailed
	}
	return 0
}

func parse(arguments []string, key string, stderr io.Writer) (options, error) {
	given := options{key: key}
	flags := flag.NewFlagSet("submit-and-download", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&given.address, "address", "127.0.0.1:8010", "host:port of the edge")
	flags.StringVar(&given.caFile, "ca-file", "", "PEM file with the authority of the edge's certificate")
	flags.StringVar(&given.planFile, "plan", "", "file with a Task-DSL plan")
	flags.StringVar(&given.output, "output", "", "file to write")
	flags.StringVar(&given.requestID, "request-id", "", "the same id gives the same job; default: a new one")
	if err := flags.Parse(arguments); err != nil {
		return given, err
	}
	if flags.NArg() > 0 {
		return given, fmt.Errorf("%q is no option", flags.Arg(0))
	}
	for _, name := range []string{"ca-file", "plan", "output"} {
		if flags.Lookup(name).Value.String() == "" {
			return given, fmt.Errorf("--%s is missing", name)
		}
	}
	if given.requestID == "" {
		given.requestID = rand.Text()
	}
	if key == "" {
		return given, errors.New("the environment variable " + keyVariable + " holds no API key")
	}
	return given, nil
}

func readPlan(file string) (*structpb.Struct, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	plan := &structpb.Struct{}
	if err := protojson.Unmarshal(text, plan); err != nil {
		return nil, fmt.Errorf("%s holds no JSON object: %w", file, err)
	}
	return plan, nil
}

func submitAndDownload(
	ctx context.Context, channel *grpc.ClientConn, given options, plan *structpb.Struct, stdout, stderr io.Writer,
) error {
	assetID, err := runJob(ctx, channel, plan, given.requestID, stdout, stderr)
	if err != nil {
		return err
	}
	saved, err := download(ctx, channel, assetID, given.output, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "file %s\nbytes %d\nsha256 %s\n", saved.name, saved.size, saved.sha256)
	return nil
}
