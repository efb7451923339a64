package blob_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/blob"
)

func TestBodiesForThisMachineAreCheckedBySumAndNotSigned(t *testing.T) {
	var sum, hash string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		sum, hash = r.Header.Get("X-Amz-Checksum-Crc32"), r.Header.Get("X-Amz-Content-Sha256")
	}))
	defer server.Close()
	s, err := blob.OpenS3(t.Context(), blob.S3Config{Endpoint: server.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "b", PathStyle: true}, "bucket")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "key", strings.NewReader("body"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if sum == "" || hash != "UNSIGNED-PAYLOAD" {
		t.Fatalf("the body came with checksum %q and hash %q", sum, hash)
	}
}
