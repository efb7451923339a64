package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/palate-dev/palate/internal/gateway"
)

// A part that is on its way when its upload is aborted must not bring the upload back.
func TestAPartThatArrivesAfterTheAbortIsDropped(t *testing.T) {
	url := serve(t, filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	c := client(url, "any", "thing", "us-east-1")
	bucket, key := aws.String("films"), aws.String("k")
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	up, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20 // half of it is more than sockets hold: the gateway is at the part when that has been sent
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/films/k?partNumber=1&uploadId=%s", url, *up.UploadId), body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	answered := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	half := make([]byte, size/2)
	if _, err := send.Write(half); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: up.UploadId}); err != nil {
		t.Fatal(err)
	}
	if _, err := send.Write(half); err != nil {
		t.Fatal(err)
	}
	send.Close()
	if status := <-answered; status != http.StatusNotFound {
		t.Errorf("the late part was answered %d", status)
	}
	left, err := c.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil || len(left.Uploads) > 0 {
		t.Errorf("%d uploads are left, %v", len(left.Uploads), err)
	}
}
