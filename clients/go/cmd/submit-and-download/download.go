package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"

	client "somamesh.example/clients/go"
	assetsv1 "somamesh.example/clients/go/gen/soma/assets/v1"
)

const readableByAll = 0o666 // less the umask

// savedFile is what was downloaded: name as the asset has it, size in bytes, SHA-256 in lower-case hex.
type savedFile struct {
	name   string
	size   int64
	sha256 string
}

// download writes an asset to output, which appears only when it is complete and its hash is that of the asset.
func download(
	ctx context.Context, channel *grpc.ClientConn, assetID, output string, stderr io.Writer,
) (savedFile, error) {
	assets := assetsv1.NewAssetServiceClient(channel)
	asset, err := assets.GetAsset(ctx, &assetsv1.GetAssetRequest{AssetId: assetID})
	if err != nil {
		return savedFile{}, err
	}
	partial := output + "." + rand.Text() + ".part"
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, readableByAll)
	if err != nil {
		return savedFile{}, err
	}
	defer os.Remove(partial) // it is gone once it has been renamed
	received := &pieces{file: file, hash: sha256.New(), size: asset.GetSizeBytes()}
	err = received.receive(ctx, assets, assetID, stderr)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return savedFile{}, err
	}
	digest := hex.EncodeToString(received.hash.Sum(nil))
	if digest != asset.GetChecksumSha256() {
		return savedFile{}, fmt.Errorf("the SHA-256 received is %s, of the asset %s", digest, asset.GetChecksumSha256())
	}
	if err := os.Rename(partial, output); err != nil {
		return savedFile{}, err
	}
	return savedFile{asset.GetFilename(), received.offset, digest}, nil
}

// pieces is a file that is received piece by piece.
type pieces struct {
	file         *os.File
	hash         hash.Hash
	offset, size int64
}

func (p *pieces) receive(
	ctx context.Context, assets assetsv1.AssetServiceClient, assetID string, stderr io.Writer,
) error {
	return client.Resumable[httpbody.HttpBody]{
		Open: func(ctx context.Context) (client.Stream[httpbody.HttpBody], error) {
			request := &assetsv1.DownloadAssetRequest{AssetId: assetID, ReadOffset: p.offset}
			return assets.DownloadAsset(ctx, request)
		},
		Receive: func(piece *httpbody.HttpBody) (bool, error) {
			return len(piece.GetData()) > 0, p.write(piece.GetData())
		},
		IsComplete: func() bool { return p.offset >= p.size },
		Resuming: func(cause error) {
			fmt.Fprintf(stderr, "resuming at byte %d: %v\n", p.offset, cause)
		},
	}.Run(ctx)
}

func (p *pieces) write(data []byte) error {
	if _, err := p.file.Write(data); err != nil {
		return err
	}
	p.hash.Write(data)
	p.offset += int64(len(data))
	return nil
}
