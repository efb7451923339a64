package gateway

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// handler brings requests to versitygw.
type handler struct {
	proxy    *httputil.ReverseProxy
	open     bool // accept any credentials: sign anew
	region   string
	signer   *v4.Signer
	root     aws.Credentials
	policies policies
}

func newHandler(upstream http.RoundTripper, users *accounts, p policies, o Options) *handler {
	return &handler{
		open:     o.Credentials == nil,
		policies: p,
		region:   o.Region,
		signer:   v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		root:     aws.Credentials{AccessKeyID: users.root.Access, SecretAccessKey: users.root.Secret},
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
	if h.open {
		r = r.Clone(r.Context())
		pathStyle(r)
	}
	if err := checkKey(objectKey(r.URL.Path)); err != nil {
		writeError(w, r, err)
		return
	}
	if !h.open {
		h.proxy.ServeHTTP(w, r)
		return
	}
	if isPolicy(r) {
		status, document, err := h.policies.serve(r)
		if err != nil {
			writeError(w, r, err)
			return
		}
		w.WriteHeader(status)
		w.Write(document)
		return
	}
	if err := h.signAnew(r); err != nil {
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

// bucketName and objectKey are the parts of a path-style path.

func bucketName(path string) string {
	bucket, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return bucket
}

func objectKey(path string) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return key
}

// proxyFailed ends a request that has no answer from versitygw, mostly because the client's body broke off.
func proxyFailed(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone; whatever is written now must not look like an answer
	}
	if !errors.Is(err, errChunks) {
		log.Warn("S3 request broke off", "method", r.Method, "error", err)
	}
	writeError(w, r, err)
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
