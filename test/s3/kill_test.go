package s3_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/palate-dev/palate/internal/gateway"
)

// serveVariable makes this test binary a server over the directory that it names.
const serveVariable = "PALATE_TEST_SERVE_S3"

func serveUntilKilled(dir string) {
	g, err := gateway.Start(context.Background(), dir, gateway.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(httptest.NewServer(g.Handler()).URL)
	select {}
}

// victim is a server in a process of its own.
type victim struct {
	cmd *exec.Cmd
	URL string
}

func startVictim(t *testing.T, dir string) *victim {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &victim{cmd, strings.TrimSpace(url)}
}

func (v *victim) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait()
}

// content is what the n-th version of a key holds: it says so itself, all over.
func content(key string, n, size int) []byte {
	line := fmt.Sprintf("%s,%d,%d\n", key, n, size)
	return bytes.Repeat([]byte(line), size/len(line)+1)[:size]
}

func TestAcknowledgedObjectsSurviveKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills servers: not in -short")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "buckets")
	stored := map[string]int{} // last acknowledged version by key
	for round := range 6 {
		server := startVictim(t, dir)
		defer server.kill()
		c := newClient(func(o *s3.Options) { o.BaseEndpoint, o.RetryMaxAttempts = &server.URL, 1 })
		if round == 0 {
			if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("survivors")}); err != nil {
				t.Fatal(err)
			}
		}
		checkStored(t, c, stored)

		acknowledged := make(chan struct{}, 1<<16)
		var mu sync.Mutex
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				key := fmt.Sprintf("dir-%d/key", w)
				for n := round * 1_000_000; ; n++ {
					if err := write(t.Context(), c, key, n); err != nil {
						return // the server has been killed
					}
					mu.Lock()
					stored[key] = n
					mu.Unlock()
					acknowledged <- struct{}{}
				}
			})
		}
		for range 1 + random.IntN(40) {
			<-acknowledged
		}
		server.kill()
		writers.Wait()
	}
	server := startVictim(t, dir)
	defer server.kill()
	checkStored(t, newClient(func(o *s3.Options) { o.BaseEndpoint = &server.URL }), stored)
}

// write stores one version: a small object, a larger one, or one in parts.
func write(ctx context.Context, c *s3.Client, key string, n int) error {
	bucket := aws.String("survivors")
	if n%3 < 2 {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(content(key, n, 1000+n%3*500_000))})
		return err
	}
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
	if err != nil {
		return err
	}
	data := content(key, n, 6<<20)
	var parts []types.CompletedPart
	for i, part := range [][]byte{data[:5<<20], data[5<<20:]} {
		out, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(part)})
		if err != nil {
			return err
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: out.ETag})
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// checkStored wants every key whole and no older than acknowledged, and no others. Writers go on in order, so a version that was not acknowledged can
// only be the next one.
func checkStored(t *testing.T, c *s3.Client, stored map[string]int) {
	t.Helper()
	found := list(t, c, &s3.ListObjectsV2Input{Bucket: aws.String("survivors")})
	for _, key := range found {
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("survivors"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(out.Body)
		out.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var n, size int
		line, _, _ := strings.Cut(string(data), "\n")
		if _, err := fmt.Sscanf(strings.TrimPrefix(line, key+","), "%d,%d", &n, &size); err != nil || !bytes.Equal(data, content(key, n, size)) {
			t.Fatalf("%s holds %d bytes that nobody wrote, beginning with %.60q", key, len(data), line)
		}
		if last, ok := stored[key]; ok && n < last {
			t.Errorf("%s holds version %d, but %d was acknowledged", key, n, last)
		}
		stored[key] = n
	}
	if len(found) < len(stored) {
		t.Errorf("only %q is left of %d keys", found, len(stored))
	}
}
