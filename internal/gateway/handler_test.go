package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/palate-dev/palate/internal/gateway"
)

func code(err error) string {
	var coded smithy.APIError
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return ""
}

func send(t *testing.T, method, url string, body io.Reader, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestSignedChunksAreUnwrapped(t *testing.T) {
	url := serve(t, filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	send(t, "PUT", url+"/films", nil)
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for name, row := range map[string]struct {
		payload          string
		signed, checksum bool
	}{
		"signed":                {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false},
		"signed with trailer":   {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true},
		"unsigned with trailer": {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true},
		"unsigned without":      {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, false},
		"signed by ECDSA":       {"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", true, true},
	} {
		for _, size := range []int{0, 1, 100, 64 << 10, len(data)} {
			headers := []string{
				"Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00",
				"X-Amz-Content-Sha256", row.payload, "X-Amz-Decoded-Content-Length", "", "Content-Encoding", "aws-chunked, gzip",
			}
			headers[5] = itoa(size)
			if row.checksum {
				headers = append(headers, "X-Amz-Trailer", "x-amz-checksum-crc32")
			}
			body := chunked(data[:size], []int{1000, 70_000, 10}, row.signed, row.checksum)
			if status, answer := send(t, "PUT", url+"/films/k", bytes.NewReader(body), headers...); status != 200 {
				t.Errorf("%s, %d bytes: %d %s", name, size, status, answer)
				continue
			}
			if status, got := send(t, "GET", url+"/films/k", nil, "Accept-Encoding", "identity"); status != 200 || got != string(data[:size]) {
				t.Errorf("%s: %d bytes went in, %d came out", name, size, len(got))
			}
		}
		if !row.checksum {
			continue
		}
		body := bytes.Replace(chunked(data, []int{70_000}, row.signed, true), []byte("abc"), []byte("cba"), 1)
		status, answer := send(t, "PUT", url+"/films/damaged", bytes.NewReader(body), "X-Amz-Content-Sha256", row.payload,
			"X-Amz-Decoded-Content-Length", itoa(len(data)), "X-Amz-Trailer", "x-amz-checksum-crc32")
		if status != 400 || !strings.Contains(answer, "BadDigest") {
			t.Errorf("%s, damaged: %d %s", name, status, answer)
		}
		status, answer = send(t, "PUT", url+"/films/damaged", bytes.NewReader(body[:len(body)/2]), "X-Amz-Content-Sha256", row.payload,
			"X-Amz-Decoded-Content-Length", itoa(len(data)), "X-Amz-Trailer", "x-amz-checksum-crc32")
		if status != 400 || !strings.Contains(answer, "IncompleteBody") {
			t.Errorf("%s, cut off: %d %s", name, status, answer)
		}
		if status, _ := send(t, "HEAD", url+"/films/damaged", nil); status != 404 {
			t.Errorf("%s: a damaged upload is there: %d", name, status)
		}
	}
}

func itoa(n int) string { return string(appendInt(nil, n)) }

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func TestPayloadHashIsVerified(t *testing.T) {
	url := serve(t, filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	send(t, "PUT", url+"/films", nil)
	sum := sha256.Sum256([]byte("right"))
	if status, answer := send(t, "PUT", url+"/films/k", strings.NewReader("right"), "X-Amz-Content-Sha256", hex.EncodeToString(sum[:])); status != 200 {
		t.Errorf("the right body: %d %s", status, answer)
	}
	status, answer := send(t, "PUT", url+"/films/k", strings.NewReader("wrong"), "X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	if status != 400 || !strings.Contains(answer, "XAmzContentSHA256Mismatch") {
		t.Errorf("another body: %d %s", status, answer)
	}
}

func TestHostNamesABucket(t *testing.T) {
	url := serve(t, filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	for _, host := range []string{"films.localhost:4725", "films.s3.localhost", "FILMS.localhost"} {
		send(t, "PUT", url+"/", nil, "Host", host)
		if status, answer := send(t, "PUT", url+"/dir/a%20b", strings.NewReader("x"), "Host", host); status != 200 {
			t.Errorf("%s: %d %s", host, status, answer)
		}
		if status, got := send(t, "GET", url+"/films/dir/a%20b", nil); status != 200 || got != "x" {
			t.Errorf("%s: %d %s", host, status, got)
		}
		send(t, "DELETE", url+"/dir/a%20b", nil, "Host", host)
	}
	if status, answer := send(t, "GET", url+"/", nil, "Host", "s3.localhost"); status != 200 || !strings.Contains(answer, "<Name>films</Name>") {
		t.Errorf("list buckets: %d %s", status, answer)
	}
}

func TestKeysThatFilesCannotHoldAreRefused(t *testing.T) {
	for _, key := range []string{"a//b", "/a", "a/../b", "..", ".", "./a", "a/.", "a\x00b", ".sgwtmp", ".sgwtmp/multipart/x", strings.Repeat("x", 256), strings.Repeat("abcd/", 205)} {
		if gateway.CheckKey(key) == nil {
			t.Errorf("%q is accepted", key)
		}
	}
	for _, key := range []string{"", "a", "a/", "a/b", "a/..b", "...", "a.b", "\\", " ", "\n", strings.Repeat("x", 255), strings.Repeat("abcd/", 204)} {
		if err := gateway.CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// Setting up Amazon Personalize begins with this policy.
func TestPolicyForTheServiceIsKept(t *testing.T) {
	url := serve(t, filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	c, bucket := client(url, "a", "b", "eu-west-1"), aws.String("films")
	policy := `{"Version":"2012-10-17","Id":"PersonalizeS3BucketAccessPolicy","Statement":[{"Sid":"PersonalizeS3BucketAccessPolicy","Effect":"Allow",` +
		`"Principal":{"Service":"personalize.amazonaws.com"},"Action":["s3:*Object","s3:ListBucket"],"Resource":["arn:aws:s3:::films","arn:aws:s3:::films/*"]}]}`
	if _, err := c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: &policy}); code(err) != "NoSuchBucket" {
		t.Errorf("policy of a missing bucket: %v", err)
	}
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket}); code(err) != "NoSuchBucketPolicy" {
		t.Errorf("before there is one: %v", err)
	}
	for _, bad := range []string{"", "{", `{"Statement":[]}`, `{"Statement":"none"}`} {
		if _, err := c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: &bad}); code(err) != "MalformedPolicy" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	if out, err := c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket}); err != nil || *out.Policy != policy {
		t.Errorf("get: %v, %v", out, err)
	}
	if err := put(t.Context(), c, "films", "k", []byte("x")); err != nil {
		t.Errorf("an object under the policy: %v", err)
	}
	if _, err := c.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	if _, err := c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket}); code(err) != "NoSuchBucketPolicy" {
		t.Errorf("after its deletion: %v", err)
	}
}

func TestConfiguredCredentialsAreVerified(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	url := serve(t, dir, gateway.Options{Credentials: map[string]string{"ALICE": "alice's secret", "BOB": "bob's secret"}, Region: "eu-west-1"})
	alice, bob := client(url, "ALICE", "alice's secret", "eu-west-1"), client(url, "BOB", "bob's secret", "eu-west-1")
	if _, err := alice.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: aws.String("films"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"},
	}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a b+c.csv", "ü/100%.csv"} {
		if err := put(t.Context(), alice, "films", key, []byte(key)); err != nil {
			t.Error(err)
		}
		if got, err := get(t.Context(), bob, "films", key); err != nil || string(got) != key {
			t.Errorf("the other user gets %q, %v", got, err)
		}
	}
	if err := put(t.Context(), bob, "films", "big", bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Error(err)
	}
	presigned, err := s3.NewPresignClient(bob).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("films"), Key: aws.String("a b+c.csv")})
	if err != nil {
		t.Fatal(err)
	}
	if status, got := send(t, "GET", presigned.URL, nil); status != 200 || got != "a b+c.csv" {
		t.Errorf("presigned: %d %s", status, got)
	}
	if status, _ := send(t, "GET", strings.Replace(presigned.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1), nil); status != 403 {
		t.Errorf("forged presigned: %d", status)
	}

	for name, c := range map[string]*s3.Client{
		"SignatureDoesNotMatch": client(url, "ALICE", "bob's secret", "eu-west-1"),
		"InvalidAccessKeyId":    client(url, "EVE", "bob's secret", "eu-west-1"),
	} {
		if _, err := get(t.Context(), c, "films", "big"); code(err) != name {
			t.Errorf("get: %v, want %s", err, name)
		}
		if err := put(t.Context(), c, "films", "new", []byte("x")); code(err) != name {
			t.Errorf("put: %v, want %s", err, name)
		}
	}
	if _, err := get(t.Context(), client(url, "palate", "palate", "eu-west-1"), "films", "big"); err == nil {
		t.Error("the internal user's secret can be guessed")
	}
	if status, _ := send(t, "GET", url+"/films/big", nil); status != 403 {
		t.Errorf("unsigned: %d", status)
	}
}

func TestMetadataInFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	if err := gateway.UseFiles(dir); err != nil {
		t.Fatal(err)
	}
	url := serve(t, dir, gateway.Options{})
	c := client(url, "a", "b", "us-east-1")
	send(t, "PUT", url+"/films", nil)
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("films"), Key: aws.String("dir/k"), Body: strings.NewReader("hello"), Metadata: map[string]string{"from": "test"},
	}); err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("films"), Key: aws.String("dir/k")})
	if err != nil || head.Metadata["from"] != "test" || aws.ToString(head.ETag) != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("head: %+v, %v", head, err)
	}
	if _, err := os.Stat(filepath.Join(dir+".meta", "films", "dir", "k", "meta", "etag")); err != nil {
		t.Errorf("the attributes are not in files: %v", err)
	}
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("films"), Key: aws.String("dir/k")}); err != nil {
		t.Error(err)
	}
	if status, _ := send(t, "GET", url+"/films/dir/k", nil); status != 404 {
		t.Errorf("after deletion: %d", status)
	}
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("films")}); err != nil {
		t.Error(err)
	}
}

// The choice of where metadata is kept must not flip when a directory is opened again.
func TestFormatIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	for range 2 {
		g, err := gateway.Start(t.Context(), dir, gateway.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		format, err := os.ReadFile(filepath.Join(dir+".meta", ".format"))
		if err != nil || len(format) == 0 {
			t.Errorf("format %q, %v", format, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir+".meta", ".format"), []byte("from the future\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err := gateway.Start(t.Context(), dir, gateway.Options{}); err == nil {
		g.Close()
		t.Error("an unknown format was opened")
	}
}
