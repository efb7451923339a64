package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/gateway"
)

// copyFile is a plain copy of the input, made durable: what the disk and the system take for the same bytes.
func (b *bench) copyFile(context.Context) (result string, err error) {
	from, err := os.Open(b.in.path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.Create(b.in.path + ".copy")
	if err != nil {
		return "", err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	n, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}) // through the process, as an import reads it
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6), to.Sync()
}

// exportToS3 exports through the S3 client into the embedded S3 of the same process, over a socket: the figure holds both sides.
func (b *bench) exportToS3(ctx context.Context) (string, error) {
	dir := b.in.path + ".s3"
	defer os.RemoveAll(dir)
	buckets, err := gateway.Start(ctx, filepath.Join(dir, "buckets"), gateway.Options{Credentials: map[string]string{"bench": "bench-secret"}})
	if err != nil {
		return "", err
	}
	defer buckets.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: buckets.Handler()}
	go server.Serve(listener)
	defer server.Close()
	store, err := blob.CreateBucket(ctx, blob.S3Config{
		Endpoint: "http://" + listener.Addr().String(), Region: "us-east-1", AccessKey: "bench", SecretKey: "bench-secret", PathStyle: true,
	}, "exports")
	if err != nil {
		return "", err
	}
	parts := 0
	n, err := b.engine.Export(ctx, b.table, dataset.ExportAll, nil, func(part int, r io.Reader) error {
		parts++
		return store.Create(ctx, fmt.Sprintf("part-%05d.csv", part), r, blob.PutOptions{})
	})
	return fmt.Sprintf("%d rows, objects: %d", n, parts), err
}
