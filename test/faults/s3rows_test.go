package faults

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// A fault answers a request in place of an S3, or passes it on to next. n counts the requests since it was planned, from 1.
type fault func(w http.ResponseWriter, r *http.Request, n int, next http.Handler)

// faultyS3 stands before a real S3 and does to its requests what is planned.
type faultyS3 struct {
	*httptest.Server
	mu      sync.Mutex
	planned fault
	n       int
}

func newFaultyS3(t *testing.T, target string) *faultyS3 {
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	next := &httputil.ReverseProxy{
		Rewrite:      func(pr *httputil.ProxyRequest) { pr.SetURL(to) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p := &faultyS3{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.n++
		planned, n := p.planned, p.n
		p.mu.Unlock()
		if planned == nil {
			next.ServeHTTP(w, r)
			return
		}
		planned(w, r, n, next)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *faultyS3) plan(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planned, p.n = f, 0
}

// The requests that a row is about.
func isListing(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Has("list-type")
}
func isRead(r *http.Request) bool { return r.Method == http.MethodGet && !isListing(r) }
func isPart(r *http.Request) bool {
	n := r.URL.Query().Get("partNumber")
	return r.Method == http.MethodPut && n != "" && n != "1"
}
func isCompletion(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
func isAbort(r *http.Request) bool {
	return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
}

// when does something to the requests of one kind and passes on the others; the count is of that kind.
func when(is func(*http.Request) bool, do fault) fault {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) {
		if is(r) {
			do(w, r, int(n.Add(1)), next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func answer(status int, code string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ int, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		io.WriteString(w, "<Error><Code>"+code+"</Code><Message>as planned</Message></Error>")
	}
}

func reset(http.ResponseWriter, *http.Request, int, http.Handler) { panic(http.ErrAbortHandler) }

// edit passes a request on and changes the answer.
func edit(change func(h http.Header, body []byte) []byte) fault {
	return func(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) {
		got := httptest.NewRecorder()
		next.ServeHTTP(got, r)
		body := change(got.Header(), got.Body.Bytes())
		for name, values := range got.Header() {
			w.Header()[name] = values
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(got.Code)
		w.Write(body)
	}
}

// cutFirst breaks the first answer off in its middle; then comes what follows.
func cutFirst(then fault) fault {
	return func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
		if n > 1 {
			then(w, r, n, next)
			return
		}
		got := httptest.NewRecorder()
		next.ServeHTTP(got, r)
		for name, values := range got.Header() {
			w.Header()[name] = values
		}
		w.Write(got.Body.Bytes()[:got.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func pass(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) { next.ServeHTTP(w, r) }

func repeatEntries(_ http.Header, body []byte) []byte {
	i, j := bytes.Index(body, []byte("<Contents>")), bytes.LastIndex(body, []byte("</Contents>"))
	if i < 0 {
		return body
	}
	j += len("</Contents>")
	return slices.Concat(body[:j], body[i:j], body[j:])
}

// openRemote is a shop whose server reads and writes an S3 through a proxy that can break it.
func openRemote(t *testing.T) (*bench, *server.Server, *faultyS3) {
	real := server.Start(t)
	proxy := newFaultyS3(t, real.URL)
	b := &bench{}
	b.Shop = shop.Open(t, server.StartIn(t, []string{"PALATE_S3_ACCESS_KEY_ID=any", "PALATE_S3_SECRET_ACCESS_KEY=any"}, "--s3-endpoint", proxy.URL))
	b.Objects = real.Bucket("shop") // what the test itself uploads and downloads goes round the proxy
	return b, real, proxy
}

func TestAnImportSaysWhatIsWrongWithItsS3(t *testing.T) {
	t.Parallel() // most of its time passes between attempts
	b, _, proxy := openRemote(t)
	rows := [][]string{{"USER_ID", "TIER"}, {"u1", "gold"}}
	b.Load(b.People, rows)
	replace := func() {
		if err := b.Objects.Create(context.Background(), "next.csv", strings.NewReader("USER_ID,TIER\nu3,gold\n"), blob.PutOptions{}); err != nil {
			t.Error(err)
		}
	}
	after := func(change func(), then fault) fault {
		return func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			change()
			then(w, r, n, next)
		}
	}
	const changed, denied, unreachable = "changed while it was read", "Insufficient privileges", "cannot be reached"
	for _, row := range []struct {
		name   string
		fault  fault
		reason string // "": the job succeeds
	}{
		{"nothing", pass, ""},
		{"500 once", when(isRead, func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			if n == 1 {
				answer(500, "InternalError")(w, r, n, next)
				return
			}
			next.ServeHTTP(w, r)
		}), ""},
		{"a body that breaks off once", when(isRead, cutFirst(pass)), ""},
		{"503 for ever", when(isRead, answer(503, "SlowDown")), unreachable},
		{"reset for ever", when(isListing, reset), unreachable},
		{"403 for the listing", when(isListing, answer(403, "AccessDenied")), denied},
		{"403 in the middle of the object", when(isRead, cutFirst(answer(403, "AccessDenied"))), denied},
		{"400", when(isRead, answer(400, "InvalidRequest")), "refused a request"},
		{"another ETag than in the listing", when(isRead, edit(func(h http.Header, body []byte) []byte {
			h.Set("Etag", `"00000000000000000000000000000000"`)
			return body
		})), changed},
		{"replaced after the listing", when(isRead, after(replace, pass)), changed},
		{"replaced in the middle", when(isRead, cutFirst(after(replace, pass))), changed},
		{"gone after the listing", when(isRead, answer(404, "NoSuchKey")), changed},
		{"a flipped bit", when(isRead, edit(func(_ http.Header, body []byte) []byte {
			body[len(body)-2] ^= 1
			return body
		})), "checksum"},
		{"pages that overlap once", when(isListing, func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			if n == 1 {
				edit(repeatEntries)(w, r, n, next)
				return
			}
			next.ServeHTTP(w, r)
		}), ""},
		{"pages that overlap for ever", when(isListing, edit(repeatEntries)), "contradicts itself"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b.T = t
			next := [][]string{{"USER_ID", "TIER"}, {"u1", "silver"}, {"u2", "silver"}}
			b.Upload(b.Objects, "next.csv", shop.ToCSV(next))
			proxy.plan(row.fault)
			d := b.Wait("datasetImportJob", b.StartImportOf(b.People, "next.csv", "FULL"))
			proxy.plan(nil)
			b.judge(d, row.reason)
			if d["status"] == "ACTIVE" {
				rows = next
			}
			if got := b.Export(b.People, "BULK"); !slices.Equal(shop.Lines(got), shop.Lines(rows)) {
				t.Errorf("%d rows are stored, want %d", len(got)-1, len(rows)-1)
			}
		})
	}
}

// judge asserts that a job has succeeded, or failed for a reason.
func (b *bench) judge(d server.M, reason string) {
	b.T.Helper()
	said, _ := d["failureReason"].(string)
	if failed := d["status"] != "ACTIVE"; failed != (reason != "") || !strings.Contains(said, reason) {
		b.T.Errorf("ended %v: %q, want %q", d["status"], said, reason)
	}
}

// An export of more than one part of an upload leaves a whole object or none, and no parts, whatever happens on the way.
func TestAnExportLeavesNoPartsInItsS3(t *testing.T) {
	t.Parallel()
	b, real, proxy := openRemote(t)
	data := shop.Generate(100, 50, 400_000, 1)
	b.Load(b.Interactions, data.Interactions)
	want := shop.Lines(data.Interactions)
	client := s3.New(s3.Options{BaseEndpoint: &real.URL, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
	killed := make(chan struct{}, 1)
	var aborts atomic.Int32
	const denied, unreachable = "Insufficient privileges", "cannot be reached"
	for _, row := range []struct {
		name   string
		fault  fault
		reason string
	}{
		{"nothing", pass, ""},
		{"403 in the middle", when(isPart, answer(403, "AccessDenied")), denied},
		{"503 in the middle for ever", when(isPart, answer(503, "SlowDown")), unreachable},
		{"reset in the middle for ever", when(isPart, reset), unreachable},
		{"no room in the middle", when(isPart, answer(507, "InsufficientStorage")), "no room left"},
		{"403 for the completion", when(isCompletion, answer(403, "AccessDenied")), denied},
		{"403 in the middle, and the first abort fails", func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			switch {
			case isPart(r):
				answer(403, "AccessDenied")(w, r, n, next)
			case isAbort(r) && aborts.Add(1) == 1:
				answer(503, "SlowDown")(w, r, n, next)
			default:
				next.ServeHTTP(w, r)
			}
		}, denied},
		{"the answer to the completion is lost", when(isCompletion, func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			if n == 1 {
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		}), ""},
		{"kill -9 in the middle", when(isPart, func(w http.ResponseWriter, r *http.Request, n int, next http.Handler) {
			if n == 1 {
				killed <- struct{}{}
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		}), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			b.T = t
			proxy.plan(row.fault)
			arn, prefix := b.StartExport(b.Interactions, "ALL")
			if strings.HasPrefix(row.name, "kill") {
				<-killed
				b.Kill()
				b.Restart()
			}
			d := b.Wait("datasetExportJob", arn)
			proxy.plan(nil)
			b.judge(d, row.reason)
			uploads, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("shop")})
			if err != nil || len(uploads.Uploads) > 0 {
				t.Errorf("%d unfinished uploads are left (%v)", len(uploads.Uploads), err)
			}
			if row.reason == "" {
				if got := shop.Lines(shop.FromCSV(t, b.Download(b.Objects, prefix))); !slices.Equal(got, want) {
					t.Errorf("the export has %d rows, want %d", len(got)-1, len(want)-1)
				}
				return
			}
			if found, err := b.Objects.List(t.Context(), prefix); err != nil || len(found) > 0 {
				t.Errorf("the failed export has left %v (%v)", found, err)
			}
		})
	}
}
