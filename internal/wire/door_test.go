package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
)

// events is a handler of PutEvents and nothing else.
func events() *handler {
	return New(Options{Operations: []api.Operation{{Name: "PutEvents", Method: "POST", Path: "/events"}}, Bounds: map[string]int{"PutEvents": 1}}).(*handler)
}

const authorized = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/personalize/aws4_request, SignedHeaders=host, Signature=00\r\n"

// heads begin requests; plain tells whether they are read without net/http.
var heads = []struct {
	text  string
	plain bool
}{
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", true},
	{"POST /events HTTP/1.1\r\nHost: p.example:4725\r\ncontent-length:2\r\nConnection: Keep-Alive\r\nX-Amz-Date: 1 2  3 \r\n" + authorized + "\r\n{}", true},
	{"POST /events HTTP/1.1\r\nhost: [::1]:1\r\nContent-Length: 0\r\nUser-Agent: caf\u00e9\r\n\r\n", true},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 65536\r\n\r\n{}", true},

	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 65537\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: +2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2,2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 0x2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 99999999999999999999\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length:\r\n\r\n", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\n\r\n", false},
	{"POST /events HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p/q\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n {}\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length : 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\nX: y\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX: y\rz\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX: \x00\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost:\n0\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX: y\n\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX_Y: z\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX-Y: z\r\nx-y: z\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX-AMZ-TARGET: T\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n" + strings.Replace(authorized, "personalize", "s3", 1) + "\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n" + authorized + authorized + "\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nAuthorization: Bearer x\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n" + strings.Repeat("X: y\r\n", 1) + "\r\n{}", true},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n" + many(70) + "\r\n{}", false},
	{"POST /events HTTP/1.0\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events  HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST http://p/events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events?x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"post /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"PUT /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /event HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"\r\nPOST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
	{"POST /events HTTP/1.1\nHost: p\nContent-Length: 2\n\n{}", false},
	{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r", false},
	{"POST /events HTTP/1.1\r\n\r\n", false},
	{"", false},
}

// many are as many fields, each of another name.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("X-" + strings.Repeat("a", i+1) + ": y\r\n")
	}
	return b.String()
}

func TestWhatIsReadWithoutNetHTTP(t *testing.T) {
	h := events()
	for _, c := range heads {
		if got, _ := readPlain(h, []byte(c.text)); (got != nil) != c.plain {
			t.Errorf("%q: %v, want %v", c.text, got != nil, c.plain)
		}
	}
}

// readPlain is what the gate makes of a request; nil if it leaves it to net/http.
func readPlain(h *handler, request []byte) (r *http.Request, body []byte) {
	d, fields, body := h.door(request)
	if d == nil {
		return nil, nil
	}
	q := newRequest()
	if _, _, ok := q.read(h, d, fields, len(body)); !ok {
		return nil, nil
	}
	return &q.Request, body
}

// What is read without net/http means what it means to net/http.
func FuzzHeads(f *testing.F) {
	for _, c := range heads {
		f.Add([]byte(c.text))
	}
	h := events()
	f.Fuzz(func(t *testing.T, request []byte) {
		got, body := readPlain(h, request)
		if got == nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			t.Fatalf("net/http says %v", err)
		}
		rest, _ := io.ReadAll(want.Body)
		type meaning struct {
			Method, Path, Query, Host, Body string
			Length                          int64
			Header                          http.Header
			Close                           bool
		}
		of := func(r *http.Request, body []byte) meaning {
			header := r.Header.Clone()
			header.Del("Content-Length")
			return meaning{r.Method, r.URL.Path, r.URL.RawQuery, r.Host, string(body), r.ContentLength, header, r.Close}
		}
		if diff := cmp.Diff(of(want, rest), of(got, body)); diff != "" {
			t.Error(diff)
		}
		if len(want.TransferEncoding) > 0 || want.Trailer != nil {
			t.Errorf("net/http sees %v, %v", want.TransferEncoding, want.Trailer)
		}
	})
}
