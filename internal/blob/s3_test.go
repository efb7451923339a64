package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/blob/blobtest"
	"github.com/palate-dev/palate/internal/gateway"
)

// server is a real S3, between which and the client a test can put faults.
type server struct {
	URL     string
	admin   *s3.Client
	mu      sync.Mutex
	fault   func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil passes everything
	buckets atomic.Int32
}

func startS3(t *testing.T) *server {
	t.Helper()
	g, err := gateway.Start(t.Context(), filepath.Join(t.TempDir(), "buckets"), gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
		if fault == nil {
			g.Handler().ServeHTTP(w, r)
			return
		}
		fault(w, r, g.Handler())
	}))
	t.Cleanup(func() {
		web.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	s.URL = web.URL
	s.admin = s3.New(s3.Options{BaseEndpoint: &s.URL, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	return s
}

func (s *server) breakWith(fault func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// open makes a new bucket and a store on it.
func (s *server) open(t *testing.T) (*blob.S3, string) {
	t.Helper()
	bucket := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	if _, err := s.admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	return s.store(t, bucket), bucket
}

func (s *server) store(t *testing.T, bucket string) *blob.S3 {
	t.Helper()
	store, err := blob.OpenS3(t.Context(), blob.S3Config{Endpoint: s.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "b", PathStyle: true}, bucket)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// unfinished counts the multipart uploads that are neither completed nor aborted.
func (s *server) unfinished(t *testing.T, bucket string) int {
	t.Helper()
	out, err := s.admin.ListMultipartUploads(context.WithoutCancel(t.Context()), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

func TestS3(t *testing.T) {
	s := startS3(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		store, bucket := s.open(t)
		t.Cleanup(func() {
			if n := s.unfinished(t, bucket); n > 0 {
				t.Errorf("%d unfinished uploads are left", n)
			}
		})
		return store
	})
}

const mb = 1 << 20

func object(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	return data
}

// cut passes the answer on but breaks the connection after n bytes of its body.
func cut(w http.ResponseWriter, r *http.Request, next http.Handler, n int) {
	next.ServeHTTP(&cutWriter{ResponseWriter: w, left: n}, r)
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err == nil && c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestReadingSurvivesBrokenConnections(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	data := object(5 * mb)
	if err := store.Create(t.Context(), "k", bytes.NewReader(data), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch requests.Add(1) {
		case 1, 3, 4:
			cut(w, r, next, mb)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r)
		}
	})
	r, _, err := store.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
	if requests.Load() != 5 {
		t.Errorf("%d requests, want 5", requests.Load())
	}
}

func TestObjectReplacedBetweenBrokenConnectionsIsChanged(t *testing.T) {
	s := startS3(t)
	store, bucket := s.open(t)
	for name, replace := range map[string]func() error{
		"replaced": func() error {
			_, err := s.admin.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: bytes.NewReader(object(6 * mb))})
			return err
		},
		"deleted": func() error {
			_, err := s.admin.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("k")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := store.Create(t.Context(), "k", bytes.NewReader(object(5*mb)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) { cut(w, r, next, mb) })
			defer s.breakWith(nil)
			r, _, err := store.Open(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			s.breakWith(nil)
			if err := replace(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, blob.ErrChanged) {
				t.Errorf("reading on: %v", err)
			}
		})
	}
}

// A server that ignores Range and If-Match must not get other bytes into the object.
func TestServerThatIgnoresRangesIsNotBelieved(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	if err := store.Create(t.Context(), "k", bytes.NewReader(object(5*mb)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("Range")
		r.Header.Del("If-Match")
		cut(w, r, next, mb)
	})
	r, _, err := store.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, blob.ErrChanged) {
		t.Errorf("reading on: %v", err)
	}
}

func TestReadingGivesUpOnADeadServer(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	if err := store.Create(t.Context(), "k", bytes.NewReader(object(5*mb)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if requests.Add(1) == 1 {
			cut(w, r, next, mb)
			return
		}
		panic(http.ErrAbortHandler)
	})
	r, _, err := store.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, blob.ErrUnreachable) || n != mb {
		t.Errorf("after %d bytes: %v", n, err)
	}
}

func TestDamagedObjectIsDetected(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	if err := store.Create(t.Context(), "k", bytes.NewReader(object(mb)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&flipWriter{ResponseWriter: w}, r)
	})
	r, _, err := store.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, blob.ErrIntegrity) {
		t.Errorf("one flipped bit: %v", err)
	}
}

// flipWriter flips one bit of the body.
type flipWriter struct {
	http.ResponseWriter
	done bool
}

func (f *flipWriter) Write(p []byte) (int, error) {
	if !f.done && len(p) > 0 {
		p, f.done = bytes.Clone(p), true
		p[0] ^= 1
	}
	return f.ResponseWriter.Write(p)
}

// operations are one call of each kind.
var operations = map[string]func(ctx context.Context, s *blob.S3) error{
	"list": func(ctx context.Context, s *blob.S3) error { _, err := s.List(ctx, "x"); return err },
	"open": func(ctx context.Context, s *blob.S3) error { _, _, err := s.Open(ctx, "x"); return err },
	"create": func(ctx context.Context, s *blob.S3) error {
		return s.Create(ctx, "x", strings.NewReader("x"), blob.PutOptions{})
	},
	"upload": func(ctx context.Context, s *blob.S3) error {
		return s.Create(ctx, "x", bytes.NewReader(object(17*mb)), blob.PutOptions{})
	},
	"destroy": func(ctx context.Context, s *blob.S3) error { return s.Destroy(ctx, "x") },
}

func TestFailuresAreTold(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	missing := s.store(t, "no-such-bucket")
	for name, call := range operations {
		t.Run(name, func(t *testing.T) {
			t.Run("missing bucket", func(t *testing.T) {
				if err := call(t.Context(), missing); !errors.Is(err, blob.ErrNoBucket) || errors.Is(err, blob.ErrNotFound) {
					t.Error(err)
				}
			})
			t.Run("denied", func(t *testing.T) {
				s.breakWith(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
					w.WriteHeader(http.StatusForbidden)
					io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
				})
				defer s.breakWith(nil)
				if err := call(t.Context(), store); !errors.Is(err, blob.ErrDenied) {
					t.Error(err)
				}
			})
		})
	}
}

// A folder on a file system cannot have the name of a file beside it, though in S3 it could.
func TestKeyBelowAnObjectIsTold(t *testing.T) {
	store, _ := startS3(t).open(t)
	create := func(key string) error {
		return store.Create(t.Context(), key, strings.NewReader("x"), blob.PutOptions{})
	}
	if err := create("report.csv"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"report.csv/part-0", strings.Repeat("k", 1100)} {
		if err := create(key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("key of %d characters: %v", len(key), err)
		}
	}
}

func TestUnreachableServerIsTold(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	store, err := blob.OpenS3(t.Context(), blob.S3Config{Endpoint: dead.URL, Region: "us-east-1", PathStyle: true}, "bucket")
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits between its attempts
			if err := call(t.Context(), store); !errors.Is(err, blob.ErrUnreachable) {
				t.Error(err)
			}
		})
	}
}

func TestCreateBucketIsIdempotent(t *testing.T) {
	s := startS3(t)
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		c := blob.S3Config{Endpoint: s.URL, Region: region, AccessKey: "a", SecretKey: "b", PathStyle: true}
		for range 2 {
			store, err := blob.CreateBucket(t.Context(), c, "made-in-"+region)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Create(t.Context(), "k", strings.NewReader("x"), blob.PutOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFailedUploadLeavesNoParts(t *testing.T) {
	s := startS3(t)
	store, bucket := s.open(t)
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("partNumber") == "2" {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := store.Create(t.Context(), "k", bytes.NewReader(object(40*mb)), blob.PutOptions{}); !errors.Is(err, blob.ErrDenied) {
		t.Errorf("Create: %v", err)
	}
	s.breakWith(nil)
	if n := s.unfinished(t, bucket); n != 0 {
		t.Errorf("%d unfinished uploads are left", n)
	}
	if found, err := store.List(t.Context(), ""); err != nil || found != nil {
		t.Errorf("listing: %v, %v", found, err)
	}
}

// An upload of whose beginning the client has not heard has no id that it could drop.
func TestAnUploadThatNobodyHeardOfIsDropped(t *testing.T) {
	s := startS3(t)
	begins := func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }
	t.Run("answer lost", func(t *testing.T) {
		store, bucket := s.open(t)
		var lost atomic.Bool
		s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if begins(r) && !lost.Swap(true) {
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
		data := object(17 * mb)
		if err := store.Create(t.Context(), "k", bytes.NewReader(data), blob.PutOptions{}); err != nil || !lost.Load() {
			t.Fatalf("Create: %v; an answer was lost: %v", err, lost.Load())
		}
		if n := s.unfinished(t, bucket); n > 0 {
			t.Errorf("%d unfinished uploads are left", n)
		}
	})
	t.Run("given up", func(t *testing.T) {
		store, bucket := s.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if begins(r) {
				next.ServeHTTP(httptest.NewRecorder(), r)
				cancel()
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
		if err := store.Create(ctx, "k", bytes.NewReader(object(17*mb)), blob.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Create: %v", err)
		}
		if n := s.unfinished(t, bucket); n > 0 {
			t.Errorf("%d unfinished uploads are left", n)
		}
	})
}

func TestCreateDropsThePartsOfAKilledOne(t *testing.T) {
	s := startS3(t)
	store, bucket := s.open(t)
	for _, key := range []string{"k", "k2"} {
		up, err := s.admin.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.admin.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(object(5 * mb)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Create(t.Context(), "k", bytes.NewReader(object(20*mb)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := s.unfinished(t, bucket); n != 1 {
		t.Errorf("%d unfinished uploads, want that of the other key only", n)
	}
	if err := store.Abandon(t.Context(), "k2"); err != nil {
		t.Fatal(err)
	}
	if n := s.unfinished(t, bucket); n != 0 {
		t.Errorf("%d unfinished uploads after Abandon", n)
	}
}

func TestKMSKeyIsSent(t *testing.T) {
	s := startS3(t)
	store, _ := s.open(t)
	const arn = "arn:aws:kms:us-east-1:000000000000:key/k"
	var sent atomic.Int32
	s.breakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Amz-Server-Side-Encryption") == "aws:kms" && r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == arn {
			sent.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	for _, size := range []int{10, 17 * mb} {
		if err := store.Create(t.Context(), fmt.Sprint(size), bytes.NewReader(object(size)), blob.PutOptions{KMSKeyARN: arn}); err != nil {
			t.Fatal(err)
		}
	}
	if sent.Load() != 2 {
		t.Errorf("%d creating requests carried the key, want 2", sent.Load())
	}
}

// Credentials and settings of the machine must not leak into requests: only the configuration counts.
func TestNoCredentialsMeansUnsigned(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")
	var authorization atomic.Value
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer web.Close()
	store, err := blob.OpenS3(t.Context(), blob.S3Config{Endpoint: web.URL, Region: "us-east-1", PathStyle: true}, "bucket")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.List(t.Context(), ""); !errors.Is(err, blob.ErrDenied) {
		t.Errorf("List: %v", err)
	}
	if got := authorization.Load(); got != "" {
		t.Errorf("Authorization: %q", got)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	web := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer web.Close()
	store, err := blob.OpenS3(t.Context(), blob.S3Config{Endpoint: web.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "b", PathStyle: true}, "bucket")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.List(t.Context(), ""); err == nil {
		t.Error("List succeeded")
	}
	if elsewhere.Load() > 0 {
		t.Error("the redirect was followed")
	}
}
