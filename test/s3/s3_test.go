// Package s3_test drives the embedded S3 with the clients that people use: the Go SDKs v2 and v1, boto3 and the AWS CLI.
// Clients that the machine does not have are skipped with a message.
package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/palate-dev/palate/internal/gateway"
)

// endpoint is the server that all tests of the package share; each test makes its own buckets.
var endpoint string

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "palate-s3-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		g, err := gateway.Start(context.Background(), filepath.Join(dir, "buckets"), gateway.Options{})
		if err != nil {
			panic(err)
		}
		defer g.Close()
		server := httptest.NewServer(g.Handler())
		defer server.Close()
		endpoint = server.URL
		return m.Run()
	}())
}

func newClient(o ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint, Region: "eu-west-3", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "not checked", "nor is a session token"),
		// What a configuration loaded from files sets by default.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, o...)
}

// newBucket makes an empty bucket named after the test.
func newBucket(t *testing.T, c *s3.Client) string {
	t.Helper()
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, t.Name()), "-")
	name = name[:min(len(name), 60)]
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func put(t *testing.T, c *s3.Client, bucket, key string, data []byte) {
	t.Helper()
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func get(t *testing.T, c *s3.Client, bucket, key string) []byte {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return data
}

func code(err error) string {
	var coded smithy.APIError
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return fmt.Sprint(err)
}

// noise is n bytes that no compression or coincidence helps with.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(data)
	return data
}

var oddKeys = []string{
	"plain.csv", "folder/inner/file.csv", "with space.csv", "plus+plus.csv", "100%.csv", "a%2Fb.csv", "ünïcödé/日本語 😀.csv", "quote'\"&<>.csv",
	"semi;colon=and,comma.csv", "hash#question?.csv", "tilde~!*().csv", "back\\slash.csv", "colon:at@.csv", "[brackets]{braces}|^`.csv", ".hidden", "trailing.",
	"-dash", "$dollar", "a/.dot/b", strings.Repeat("x", 255), strings.Repeat("deep/", 100) + "leaf",
}

func TestOddKeysKeepTheirNamesAndBytes(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	for _, key := range oddKeys {
		put(t, c, bucket, key, []byte("data of "+key))
	}
	for _, key := range oddKeys {
		if got := string(get(t, c, bucket, key)); got != "data of "+key {
			t.Errorf("%q holds %q", key, got)
		}
		head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		if err != nil || *head.ContentLength != int64(len("data of "+key)) {
			t.Errorf("head %q: %v", key, err)
		}
	}
	want := slices.Sorted(slices.Values(oddKeys))
	if diff := cmp.Diff(want, list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket})); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	for _, key := range oddKeys {
		copied := "copy/of/" + strings.ReplaceAll(key, "deep/", "")
		if _, err := c.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: &bucket, Key: &copied, CopySource: aws.String(bucket + "/" + escape(key))}); err != nil {
			t.Errorf("copy %q: %v", key, err)
		} else if got := string(get(t, c, bucket, copied)); got != "data of "+key {
			t.Errorf("copy of %q holds %q", key, got)
		}
		if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	if left := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket}); len(left) != len(oddKeys) || !strings.HasPrefix(left[0], "copy/of/") {
		t.Errorf("after deleting the originals: %q", left)
	}
}

// escape percent-encodes a copy source as S3 documents it.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; c == '/' || c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func list(t *testing.T, c *s3.Client, in *s3.ListObjectsV2Input) (keys []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
		for _, p := range page.CommonPrefixes {
			keys = append(keys, *p.Prefix)
		}
	}
	return keys
}

func TestListsPageAndFold(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("in/%02d/part-%d.csv", i%5, i)
		want = append(want, key)
		put(t, c, bucket, key, []byte{byte(i)})
	}
	for _, key := range []string{"in/00-a", "in/00.b/c", "in/00/", "in/000", "in/00~/d"} { // siblings that sort around the slash
		want = append(want, key)
		put(t, c, bucket, key, nil)
	}
	put(t, c, bucket, "out/x", nil)
	slices.Sort(want)

	if diff := cmp.Diff(want, list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("in/"), MaxKeys: aws.Int32(4)})); diff != "" {
		t.Errorf("v2 in pages of 4 (-want +got):\n%s", diff)
	}
	folded := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("in/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)})
	slices.Sort(folded) // a page lists its objects before its common prefixes
	if diff := cmp.Diff([]string{"in/00-a", "in/00.b/", "in/00/", "in/000", "in/00~/", "in/01/", "in/02/", "in/03/", "in/04/"}, folded); diff != "" {
		t.Errorf("with a delimiter (-want +got):\n%s", diff)
	}
	if got := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("none")}); got != nil {
		t.Errorf("an unknown prefix lists %q", got)
	}

	var v1 []string
	in := &s3.ListObjectsInput{Bucket: &bucket, Prefix: aws.String("in/"), MaxKeys: aws.Int32(7)}
	for {
		page, err := c.ListObjects(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			v1 = append(v1, *o.Key)
		}
		if !aws.ToBool(page.IsTruncated) {
			break
		}
		in.Marker = &v1[len(v1)-1]
	}
	if diff := cmp.Diff(want, v1); diff != "" {
		t.Errorf("v1 in pages of 7 (-want +got):\n%s", diff)
	}
}

func TestRangesAndConditions(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	data := noise(300_000)
	put(t, c, bucket, "k", data)
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		ask      string
		from, to int
	}{{"bytes=0-0", 0, 1}, {"bytes=1000-1999", 1000, 2000}, {"bytes=299990-", 299_990, 300_000}, {"bytes=-7", 299_993, 300_000}, {"bytes=5-999999999", 5, 300_000}} {
		out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("k"), Range: &r.ask, IfMatch: head.ETag})
		if err != nil {
			t.Errorf("%s: %v", r.ask, err)
			continue
		}
		got, err := io.ReadAll(out.Body)
		if err != nil || !bytes.Equal(got, data[r.from:r.to]) {
			t.Errorf("%s: %d bytes, %v", r.ask, len(got), err)
		}
		if want := fmt.Sprintf("bytes %d-%d/300000", r.from, r.to-1); aws.ToString(out.ContentRange) != want {
			t.Errorf("%s: Content-Range %q, want %q", r.ask, aws.ToString(out.ContentRange), want)
		}
	}
	if _, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("k"), Range: aws.String("bytes=300000-")}); code(err) != "InvalidRange" {
		t.Errorf("a range behind the end: %v", err)
	}
	if _, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("k"), IfMatch: aws.String(`"other"`)}); code(err) != "PreconditionFailed" {
		t.Errorf("If-Match of another ETag: %v", err)
	}
	_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	if code(err) != "PreconditionFailed" {
		t.Errorf("If-None-Match * on an object that exists: %v", err)
	}
}

func TestErrorsAreThoseOfS3(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	nowhere := aws.String("no-such-bucket-here")
	for name, row := range map[string]struct {
		want string
		call func() error
	}{
		"get of a missing key": {"NoSuchKey", func() error {
			_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("x")})
			return err
		}},
		"head of a missing key": {"NotFound", func() error {
			_, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("x")})
			return err
		}},
		"get in a missing bucket": {"NoSuchBucket", func() error {
			_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: nowhere, Key: aws.String("x")})
			return err
		}},
		"put in a missing bucket": {"NoSuchBucket", func() error {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: nowhere, Key: aws.String("x"), Body: strings.NewReader("x")})
			return err
		}},
		"list of a missing bucket": {"NoSuchBucket", func() error {
			_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: nowhere})
			return err
		}},
		"head of a missing bucket": {"NotFound", func() error { _, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: nowhere}); return err }},
		"delete of a missing bucket": {"NoSuchBucket", func() error {
			_, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: nowhere})
			return err
		}},
		"a bucket that exists": {"BucketAlreadyOwnedByYou", func() error {
			_, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket})
			return err
		}},
		"a bad bucket name": {"InvalidBucketName", func() error {
			_, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("Bad_Name")})
			return err
		}},
		"an unknown upload": {"NoSuchUpload", func() error {
			_, err := c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: aws.String("x"), UploadId: aws.String("y")})
			return err
		}},
		"a key that climbs": {"InvalidArgument", func() error {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a/../b"), Body: strings.NewReader("x")})
			return err
		}},
		"a key with an empty folder": {"InvalidArgument", func() error {
			_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a//b"), Body: strings.NewReader("x")})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := row.call(); code(err) != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
	put(t, c, bucket, "x", nil)
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &bucket}); code(err) != "BucketNotEmpty" {
		t.Errorf("delete of a bucket with an object: %v", err)
	}
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("never was")}); err != nil {
		t.Errorf("delete of a missing key: %v", err)
	}
}

func TestEmptyObjectsAndFolderMarkers(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	put(t, c, bucket, "empty", nil)
	put(t, c, bucket, "a/", nil)
	put(t, c, bucket, "a/b.csv", []byte("x"))
	if got := get(t, c, bucket, "empty"); len(got) != 0 {
		t.Errorf("empty holds %q", got)
	}
	if diff := cmp.Diff([]string{"a/", "a/b.csv", "empty"}, list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket})); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	if _, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("a/")}); err != nil {
		t.Errorf("delete the marker: %v", err)
	}
	if diff := cmp.Diff([]string{"a/b.csv", "empty"}, list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket})); diff != "" {
		t.Errorf("without the marker (-want +got):\n%s", diff)
	}
}

func TestDeleteObjects(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	var ids []types.ObjectIdentifier
	for _, key := range append(oddKeys, "missing") {
		if key != "missing" {
			put(t, c, bucket, key, []byte("x"))
		}
		ids = append(ids, types.ObjectIdentifier{Key: aws.String(key)})
	}
	out, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: ids}})
	if err != nil || len(out.Errors) > 0 || len(out.Deleted) != len(ids) {
		t.Fatalf("%d deleted, errors %v, %v", len(out.Deleted), out.Errors, err)
	}
	if left := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket}); left != nil {
		t.Errorf("left: %q", left)
	}
	if _, err := c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &bucket}); err != nil {
		t.Errorf("delete the empty bucket: %v", err)
	}
}

func TestMetadataComesBack(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &bucket, Key: aws.String("k"), Body: strings.NewReader("x"), ContentType: aws.String("text/csv"), ContentEncoding: aws.String("gzip"),
		CacheControl: aws.String("no-store"), Metadata: map[string]string{"owner": "me  and   you", "empty": ""}, ACL: types.ObjectCannedACLBucketOwnerFullControl,
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("arn:aws:kms:eu-west-3:000000000000:key/1"),
		ExpectedBucketOwner: aws.String("000000000000"),
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("k"), ExpectedBucketOwner: aws.String("000000000000")})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentType != "text/csv" || *head.ContentEncoding != "gzip" || *head.CacheControl != "no-store" || head.Metadata["owner"] == "" {
		t.Errorf("head: %+v", head)
	}
}

func TestCreateBucketInAnyRegion(t *testing.T) {
	for _, region := range []string{"us-east-1", "eu-west-1", "ap-southeast-2"} {
		c := newClient(func(o *s3.Options) { o.Region = region })
		bucket := aws.String("in-" + region)
		in := &s3.CreateBucketInput{Bucket: bucket}
		if region != "us-east-1" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
		}
		if _, err := c.CreateBucket(t.Context(), in); err != nil {
			t.Errorf("%s: %v", region, err)
		}
		if _, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: bucket}); err != nil {
			t.Errorf("%s: %v", region, err)
		}
	}
	out, err := newClient().ListBuckets(t.Context(), nil)
	if err != nil || len(out.Buckets) < 3 {
		t.Errorf("list buckets: %v, %v", out, err)
	}
}

func TestMultipartUpload(t *testing.T) {
	c := newClient()
	bucket, key := newBucket(t, c), aws.String("big + odd key.bin")
	up, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	data := noise(17 << 20)
	var parts []types.CompletedPart
	for n := int32(1); n <= 4; n++ {
		out, err := c.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: &bucket, Key: key, UploadId: up.UploadId, PartNumber: &n, Body: bytes.NewReader(data[(n-1)*5<<20 : min(int(n)*5<<20, len(data))]),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n), ETag: out.ETag})
	}
	if got := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket}); got != nil {
		t.Errorf("before completion the bucket lists %q", got)
	}
	listed, err := c.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &bucket, Key: key, UploadId: up.UploadId})
	if err != nil || len(listed.Parts) != 4 {
		t.Errorf("list parts: %v, %v", listed, err)
	}
	if _, err := c.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(get(t, c, bucket, *key), data) {
		t.Error("the object is not the joined parts")
	}
}

func TestPresignedURLs(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	p := s3.NewPresignClient(c)
	upload, err := p.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("signed elsewhere.csv")})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), upload.Method, upload.URL, strings.NewReader("through a link"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = upload.SignedHeader
	answer(t, request, http.StatusOK)

	download, err := p.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("signed elsewhere.csv")})
	if err != nil {
		t.Fatal(err)
	}
	if request, err = http.NewRequestWithContext(t.Context(), download.Method, download.URL, nil); err != nil {
		t.Fatal(err)
	}
	if got := answer(t, request, http.StatusOK); got != "through a link" {
		t.Errorf("downloaded %q", got)
	}
}

func TestUnsignedRequests(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	at := endpoint + "/" + bucket + "/hand made.csv"
	at = strings.ReplaceAll(at, " ", "%20")
	for _, step := range []struct {
		method, body, want string
		status             int
	}{{"PUT", "a,b\n", "", 200}, {"GET", "", "a,b\n", 200}, {"HEAD", "", "", 200}, {"DELETE", "", "", 204}} {
		request, err := http.NewRequestWithContext(t.Context(), step.method, at, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Expect", "100-continue")
		if got := answer(t, request, step.status); got != step.want {
			t.Errorf("%s answered %q, want %q", step.method, got, step.want)
		}
	}
}

func answer(t *testing.T, r *http.Request, status int) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: %s %s %v", r.Method, r.URL, resp.Status, body, err)
	}
	return string(body)
}

func TestBrokenUploadLeavesTheOldObject(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	put(t, c, bucket, "k", []byte("old"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	in, out := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "PUT", endpoint+"/"+bucket+"/k", in)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 10 << 20
	go func() {
		out.Write(noise(1 << 20))
		out.CloseWithError(errors.New("the client dies"))
	}()
	if resp, err := http.DefaultClient.Do(request); err == nil {
		resp.Body.Close()
		t.Errorf("a body that broke off was answered %s", resp.Status)
	}
	if got := get(t, c, bucket, "k"); string(got) != "old" {
		t.Errorf("the object now holds %d bytes", len(got))
	}
}

func TestConcurrentPuts(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range 120 {
		group.Go(func() error {
			// Half of the writers compete for one key.
			key := fmt.Sprintf("dir-%d/%d", i%7, i)
			if i%2 == 0 {
				key = "shared"
			}
			body := bytes.Repeat([]byte{byte(i)}, 20_000)
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := list(t, c, &s3.ListObjectsV2Input{Bucket: &bucket}); len(got) != 61 {
		t.Errorf("%d objects, want 61", len(got))
	}
	shared := get(t, c, bucket, "shared")
	if len(shared) != 20_000 || !bytes.Equal(shared, bytes.Repeat(shared[:1], 20_000)) {
		t.Errorf("the contested object mixes writers")
	}
}

func TestStreamingUpload(t *testing.T) {
	c := newClient()
	bucket := newBucket(t, c)
	const size = 50 << 20
	data := noise(size)
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("big"), Body: bytes.NewReader(data), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("big"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}
