package js_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/gateway"
	"github.com/palate-dev/palate/test/plan"
	"github.com/palate-dev/palate/test/sdk"
)

type m = map[string]any

// TestS3SharesThePort drives the embedded S3 with signatures verified, between two calls of the API on the same port.
func TestS3SharesThePort(t *testing.T) {
	g, err := gateway.Start(t.Context(), filepath.Join(t.TempDir(), "buckets"), gateway.Options{Credentials: map[string]string{sdk.AccessKey: sdk.SecretKey}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	server := httptest.NewServer(sdk.Reflecting(nil, g.Handler()))
	defer server.Close()

	const part = 5 << 20
	object := func(more m) m {
		in := m{"Bucket": "events", "Key": "dir/ä +&.csv"} // a bucket named like a path of the API
		for k, v := range more {
			in[k] = v
		}
		return in
	}
	upload := m{"$from": []any{3, "UploadId"}}
	etag := func(call int) m { return m{"$from": []any{call, "ETag"}} }
	results := run(t, server.URL, []plan.Call{
		{Service: "personalize", Operation: "ListSchemas"},
		{Service: "s3", Operation: "CreateBucket", Input: m{"Bucket": "events"}},
		{Service: "s3", Operation: "PutObject", Input: m{"Bucket": "events", "Key": "small", "Body": "USER_ID\nu1\n"}},
		{Service: "s3", Operation: "CreateMultipartUpload", Input: object(nil)},
		{Service: "s3", Operation: "UploadPart", Input: object(m{"UploadId": upload, "PartNumber": 1, "Body": m{"$repeat": []any{"a", part}}})},
		{Service: "s3", Operation: "UploadPart", Input: object(m{"UploadId": upload, "PartNumber": 2, "Body": "bc"})},
		{Service: "s3", Operation: "CompleteMultipartUpload", Input: object(m{"UploadId": upload, "MultipartUpload": m{"Parts": []any{
			m{"PartNumber": 1, "ETag": etag(4)}, m{"PartNumber": 2, "ETag": etag(5)},
		}}})},
		{Service: "s3", Operation: "GetObject", Input: object(m{"Range": "bytes=5242879-"})},
		{Service: "s3", Operation: "ListObjectsV2", Input: m{"Bucket": "events"}},
		{Service: "s3", Operation: "GetObject", Input: m{"Bucket": "events", "Key": "missing"}},
		{Service: "s3", Operation: "DeleteObject", Input: object(nil)},
		{Service: "s3", Operation: "DeleteObject", Input: m{"Bucket": "events", "Key": "small"}},
		{Service: "s3", Operation: "DeleteBucket", Input: m{"Bucket": "events"}},
		{Service: "s3", Operation: "ListBuckets"},
		{Service: "personalize-runtime", Operation: "GetRecommendations"},
	})
	for i, r := range results {
		if missing := i == 9; missing != (r.Error != nil) {
			t.Errorf("call %d: %+v", i, r.Error)
		}
	}
	if t.Failed() {
		return
	}
	if body := results[7].Output.(m)["Body"]; body != "abc" {
		t.Errorf("range: %.100v", body)
	}
	var keys []string
	for _, o := range results[8].Output.(m)["Contents"].([]any) {
		keys = append(keys, o.(m)["Key"].(string))
	}
	if got := strings.Join(keys, ","); got != "dir/ä +&.csv,small" {
		t.Errorf("list: %s", got)
	}
	if e := results[9].Error; e.Name != "NoSuchKey" || e.Status != 404 || !e.Typed {
		t.Errorf("missing object: %+v", e)
	}
}
