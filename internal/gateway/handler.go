package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Values of X-Amz-Content-Sha256 that are no hash.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	streaming       = "STREAMING-" // begins the name of every aws-chunked form
	unsignedChunks  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// handler brings requests to versitygw.
type handler struct {
	proxy  *httputil.ReverseProxy
	open   bool // accept any credentials: sign anew
	region string
	signer *v4.Signer
	root   aws.Credentials
}

func newHandler(upstream http.RoundTripper, users *accounts, o Options) *handler {
	return &handler{
		open:   o.Credentials == nil,
		region: o.Region,
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		root:   aws.Credentials{AccessKeyID: users.root.Access, SecretAccessKey: users.root.Secret},
		proxy: &httputil.ReverseProxy{
			Transport: upstream,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = "http", "s3" // the transport dials the socket whatever the host
				p.Out.Host = p.In.Host
				p.Out.Header.Del("Expect") // our own server has asked for the body already
			},
			ModifyResponse: tidyResponse,
			ErrorHandler:   func(w http.ResponseWriter, r *http.Request, err error) { proxyFailed(w, r, err, o.Log) },
			ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
			BufferPool:     &buffers{},
		},
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// boto3 expects this even for an empty body, and without it loses track of the connection: its next request would hang.
		w.WriteHeader(http.StatusContinue)
	}
	if !h.open {
		if err := checkKey(objectKey(r.URL.Path)); err != nil {
			writeError(w, r, err)
			return
		}
		h.proxy.ServeHTTP(w, r)
		return
	}
	r = r.Clone(r.Context())
	pathStyle(r)
	if err := checkKey(objectKey(r.URL.Path)); err != nil {
		writeError(w, r, err)
		return
	}
	dropSignature(r)
	if err := unwrapBody(r); err != nil {
		writeError(w, r, err)
		return
	}
	if isCreateBucket(r) {
		if err := acceptAnyLocation(r); err != nil {
			writeError(w, r, err)
			return
		}
	}
	if err := h.sign(r); err != nil {
		writeError(w, r, err)
		return
	}
	h.proxy.ServeHTTP(w, r)
}

// tidyResponse removes what versitygw says about itself, and the second copy of the ids that it sends twice.
func tidyResponse(r *http.Response) error {
	r.Header.Del("Server")
	for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2"} {
		if values := r.Header[name]; len(values) > 1 {
			r.Header[name] = values[:1]
		}
	}
	return nil
}

// objectKey is the part of a path-style path behind the bucket.
func objectKey(path string) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return key
}

// pathStyle turns http://bucket.localhost/key, which SDKs use for an endpoint on localhost, into http://localhost/bucket/key.
func pathStyle(r *http.Request) {
	host := strings.ToLower(r.Host)
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	bucket, ok := strings.CutSuffix(host, ".localhost")
	if !ok {
		return
	}
	bucket = strings.TrimSuffix(bucket, ".s3")
	if bucket == "" || bucket == "s3" {
		return
	}
	r.URL.Path = "/" + bucket + r.URL.Path
	r.URL.RawPath = ""
}

// dropSignature removes everything by which a request has been signed, in its headers or its query, and what refers to an account that we do not have.
func dropSignature(r *http.Request) {
	for _, name := range []string{
		"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Expected-Bucket-Owner", "X-Amz-Source-Expected-Bucket-Owner",
	} {
		r.Header.Del(name)
	}
	q := r.URL.Query()
	for name := range q {
		switch strings.ToLower(name) {
		case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature", "x-amz-security-token",
			"x-amz-content-sha256", "awsaccesskeyid", "signature", "expires":
			q.Del(name)
		}
	}
	// One spelling of the path and the query, so that both sides compute the same signature from them.
	r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	r.URL.RawPath = escapePath(r.URL.Path)
}

// escapePath percent-encodes everything that RFC 3986 does not call unreserved, as S3 signatures want it.
func escapePath(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unwrapBody takes the signatures out of an aws-chunked body and leaves any other as it is.
func unwrapBody(r *http.Request) error {
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload == "" {
		r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
		return nil
	}
	if !strings.HasPrefix(payload, streaming) {
		return nil // a hash, which versitygw verifies, or nothing to verify
	}
	length, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return &s3Error{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	}
	object := newChunkDecoder(r.Body, length)
	removeEncoding(r.Header, "aws-chunked")
	r.TransferEncoding = nil
	trailer := strings.ToLower(strings.TrimSpace(r.Header.Get("X-Amz-Trailer")))
	if trailer == "" {
		r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
		r.Header.Del("X-Amz-Decoded-Content-Length")
		r.Body, r.ContentLength = readCloser{object, r.Body}, length
		if length == 0 { // a body that is never read would leave its framing in the connection
			_, err := io.Copy(io.Discard, object)
			r.Body = http.NoBody
			return err
		}
	} else {
		if checksumLength[trailer] == 0 {
			return &s3Error{http.StatusBadRequest, "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"}
		}
		r.Header.Set("X-Amz-Content-Sha256", unsignedChunks)
		r.Header.Set("X-Amz-Trailer", trailer)
		r.Body, r.ContentLength = readCloser{newChunkEncoder(object, trailer), r.Body}, encodedLength(length, trailer)
	}
	r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	return nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// removeEncoding takes one coding out of Content-Encoding; the others describe the object and stay.
func removeEncoding(h http.Header, coding string) {
	var keep []string
	for _, line := range h.Values("Content-Encoding") {
		for c := range strings.SplitSeq(line, ",") {
			if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, coding) {
				keep = append(keep, c)
			}
		}
	}
	h.Del("Content-Encoding")
	if len(keep) > 0 {
		h.Set("Content-Encoding", strings.Join(keep, ","))
	}
}

// isCreateBucket tells a PUT of a bucket from a PUT of one of its properties, which has a query.
func isCreateBucket(r *http.Request) bool {
	if r.Method != http.MethodPut || strings.Trim(r.URL.Path, "/") == "" || strings.Contains(strings.Trim(r.URL.Path, "/"), "/") {
		return false
	}
	for name := range r.URL.Query() {
		if name != "x-id" {
			return false
		}
	}
	return objectKey(r.URL.Path) == ""
}

var locationConstraint = regexp.MustCompile(`(?s)<LocationConstraint\b[^>]*?(?:/>|>.*?</LocationConstraint\s*>)`)

// acceptAnyLocation lets a bucket be created in any region: the region is taken out of the request, since there is one place only.
func acceptAnyLocation(r *http.Request) error {
	const limit = 64 << 10
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return err
	}
	if len(body) > limit {
		return &s3Error{http.StatusBadRequest, "MalformedXML", "The XML you provided is too long."}
	}
	if !locationConstraint.Match(body) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		return nil
	}
	body = locationConstraint.ReplaceAll(body, nil)
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	for name := range r.Header { // checksums of the body that was
		if name == "Content-Md5" || name == "X-Amz-Trailer" || strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum-") {
			r.Header.Del(name)
		}
	}
	return nil
}

// sign signs the request as root. Only the headers that S3 wants signed are covered: the others may still change on their way.
func (h *handler) sign(r *http.Request) error {
	signed := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			signed.Header[name] = values
		}
	}
	if err := h.signer.SignHTTP(r.Context(), h.root, signed, r.Header.Get("X-Amz-Content-Sha256"), "s3", h.region, time.Now()); err != nil {
		return fmt.Errorf("sign for the embedded S3: %w", err)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date"} {
		r.Header.Set(name, signed.Header.Get(name))
	}
	return nil
}

// proxyFailed answers a request that versitygw could not answer, mostly because its body broke off.
func proxyFailed(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	switch {
	case errors.Is(err, context.Canceled) || r.Context().Err() != nil:
		// The client has gone.
	case errors.Is(err, errChunks):
		writeError(w, r, err)
	default:
		log.Error("embedded S3 did not answer", "method", r.Method, "error", err)
		writeError(w, r, err)
	}
}

// buffers lends out copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 128<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
