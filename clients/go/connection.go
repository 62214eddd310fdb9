// Package client connects to the edge of SomaMesh and reads its errors. The stubs are in gen, made by make polyglot.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// ServiceConfig holds the deadline and the retry policy of each method, as the contracts state them.
//
//go:embed gen/service_config.json
var ServiceConfig string

const (
	// maxMessageBytes is what the services send at most.
	maxMessageBytes  = 8 << 20
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// Connect opens a channel to the edge at host:port that sends the API key (or token) with each call, over TLS only.
//
// caFile names a PEM file with the authorities that it trusts. An error says that the file cannot be read or used; that
// nobody answers is known at the first call.
func Connect(address, caFile, credential string) (*grpc.ClientConn, error) {
	authorities, err := readAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	transport := credentials.NewTLS(&tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS13})
	return grpc.NewClient(
		"dns:///"+address,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer(credential)),
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
	)
}

func readAuthorities(caFile string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
	}
	return pool, nil
}

// bearer is a credential sent as authorization metadata. It has no String method and is printed nowhere.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool {
	return true
}
