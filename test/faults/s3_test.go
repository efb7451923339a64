package faults

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// badS3 stands before a real S3 and breaks a share of its answers, once it is armed.
type badS3 struct {
	*httptest.Server
	mu    sync.Mutex
	r     *rand.Rand
	share float64 // of the requests that go wrong
	seen  map[string]int
}

func newBadS3(t *testing.T, target string, r *rand.Rand) *badS3 {
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &badS3{r: r, seen: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { pr.SetURL(to) },
		ModifyResponse: p.spoil,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch fault := p.fault("500", "503", "403", "reset", "", "", ""); fault {
		case "500", "503", "403":
			status := map[string]int{"500": 500, "503": 503, "403": 403}[fault]
			code := map[string]string{"500": "InternalError", "503": "SlowDown", "403": "AccessDenied"}[fault]
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as planned</Message></Error>", code)
		case "reset":
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// fault draws what goes wrong with a request; "" is nothing.
func (p *badS3) fault(kinds ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.r.Float64() >= p.share {
		return ""
	}
	kind := kinds[p.r.IntN(len(kinds))]
	if kind != "" {
		p.seen[kind]++
	}
	return kind
}

func (p *badS3) arm(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share = share
}

// spoil breaks answers of objects and listings: a body that ends early, another ETag, other bytes of the same length, an entry of a listing twice.
func (p *badS3) spoil(resp *http.Response) error {
	if resp.Request.Method != http.MethodGet || resp.StatusCode >= 300 {
		return nil
	}
	kind := p.fault("short", "etag", "changed", "skew", "")
	if kind == "" {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body.Close()
	switch kind {
	case "short":
		body = body[:len(body)/2] // the length that was announced stays
	case "etag":
		resp.Header.Set("Etag", `"00000000000000000000000000000000"`)
	case "changed":
		if i := bytes.IndexByte(body, ','); i >= 0 && resp.Header.Get("Etag") != "" {
			body[i] = ';'
			resp.Header.Set("Etag", `"11111111111111111111111111111111"`)
		}
	case "skew":
		if i, j := bytes.Index(body, []byte("<Contents>")), bytes.LastIndex(body, []byte("</Contents>")); i >= 0 {
			j += len("</Contents>")
			body = slices.Concat(body[:j], body[i:j], body[j:])
			resp.ContentLength = int64(len(body))
			resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func TestAnS3ThatBreaksItsAnswers(t *testing.T) {
	seeds.Each(t, 3, 500, func(t *testing.T, r *rand.Rand) {
		real := server.Start(t)
		proxy := newBadS3(t, real.URL, r)
		b := &bench{r: r, data: shop.Generate(40, 20, 600, r.Uint64())}
		b.Shop = shop.Open(t, server.StartIn(t, []string{"PALATE_S3_ACCESS_KEY_ID=any", "PALATE_S3_SECRET_ACCESS_KEY=any"}, "--s3-endpoint", proxy.URL))
		b.Objects = real.Bucket("shop")
		b.rows = b.data.Interactions
		b.LoadAll(b.data)
		for range 4 {
			names := []string{"import", "incremental import", "export", "deletion"}
			name := names[r.IntN(len(names))]
			w := works[name]
			users := b.data.Users
			proxy.arm([]float64{0.1, 0.3, 0.6}[r.IntN(3)]) // what the test itself uploads and downloads goes round the proxy
			arn, check := w.start(b)
			d := b.Wait(w.noun, arn)
			proxy.arm(0)
			switch d["status"] {
			case "ACTIVE", "COMPLETED":
				check()
			default: // it says why, and nothing has changed
				if reason, _ := d["failureReason"].(string); reason == "" || strings.Contains(reason, "Internal error") {
					t.Errorf("%s failed without a reason that helps: %q", name, reason)
				}
				b.data.Users = users
			}
			b.check()
		}
		t.Log(proxy.seen)
	})
}
