package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/palate-dev/palate/internal/gateway"
)

// serve starts a gateway over dir and returns its URL.
func serve(t *testing.T, dir string, o gateway.Options) string {
	t.Helper()
	g, err := gateway.Start(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

func client(url, access, secret, region string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(url), Region: region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
}

func put(ctx context.Context, c *s3.Client, bucket, key string, data []byte) error {
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)})
	return err
}

func get(ctx context.Context, c *s3.Client, bucket, key string) ([]byte, error) {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func TestObjectsOutliveTheGateway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	start := func() (*gateway.Gateway, *s3.Client, *httptest.Server) {
		g, err := gateway.Start(t.Context(), dir, gateway.Options{})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(g.Handler())
		return g, client(server.URL, "any", "thing", "eu-central-1"), server
	}
	g, c, server := start()
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("films")}); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), c, "films", "a/b.csv", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}

	g, c, server = start()
	defer g.Close()
	defer server.Close()
	got, err := get(t.Context(), c, "films", "a/b.csv")
	if err != nil || string(got) != "hello" {
		t.Fatalf("after a restart: %q, %v", got, err)
	}
}

func TestOneGatewayPerProcess(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Start(t.Context(), t.TempDir(), gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Start(t.Context(), t.TempDir(), gateway.Options{}); !errors.Is(err, gateway.ErrRunning) {
		t.Errorf("a second gateway: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Getwd()
	if err != nil || after != before {
		t.Errorf("working directory after Close is %q, %v; want %q", after, err, before)
	}
}

func TestStartAndCloseInQuickSuccession(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	for range 10 {
		g, err := gateway.Start(t.Context(), dir, gateway.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gateway.Start(ended, dir, gateway.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start under an ended context: %v", err)
	}
	g, err := gateway.Start(t.Context(), dir, gateway.Options{})
	if err != nil {
		t.Fatalf("after a Start that failed: %v", err)
	}
	g.Close()
}

func TestStagedFilesOfAKilledProcessAreRemovedWhateverTheDirectoryIsCalled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s3 [a-z]*")
	staged := filepath.Join(dir, "bucket", ".sgwtmp", "0123.part")
	if err := os.MkdirAll(filepath.Dir(staged), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(staged, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, gateway.Options{})
	if _, err := os.Stat(staged); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the staged file is still there: %v", err)
	}
}
