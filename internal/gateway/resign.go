package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Values of X-Amz-Content-Sha256 that are no hash.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	streaming       = "STREAMING-" // begins the name of every aws-chunked form
	unsignedChunks  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// signAnew makes any request one of root's.
func (h *handler) signAnew(r *http.Request) error {
	dropSignature(r)
	if isCreateBucket(r) {
		if err := acceptAnyLocation(r); err != nil {
			return err
		}
	}
	if err := unwrapBody(r); err != nil {
		return err
	}
	return h.sign(r)
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
	length, err := decodedLength(r)
	if err != nil {
		return err
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
	if r.Method != http.MethodPut || bucketName(r.URL.Path) == "" || objectKey(r.URL.Path) != "" {
		return false
	}
	for name := range r.URL.Query() {
		if name != "x-id" {
			return false
		}
	}
	return true
}

var locationConstraint = regexp.MustCompile(`(?s)<LocationConstraint\b[^>]*?(?:/>|>.*?</LocationConstraint\s*>)`)

// acceptAnyLocation lets a bucket be created in any region: the region is taken out of the request, since there is one place only.
func acceptAnyLocation(r *http.Request) error {
	body, err := takeBody(r)
	if err != nil {
		return err
	}
	body = locationConstraint.ReplaceAll(body, nil)
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	for name := range r.Header { // what was said of the body that was
		if name == "Content-Md5" || name == "X-Amz-Trailer" || name == "X-Amz-Decoded-Content-Length" ||
			strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum-") {
			r.Header.Del(name)
		}
	}
	removeEncoding(r.Header, "aws-chunked")
	return nil
}

// takeBody reads the body of a request whose body is small by its nature.
func takeBody(r *http.Request) ([]byte, error) {
	const limit = 64 << 10
	body := io.Reader(r.Body)
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), streaming) {
		length, err := decodedLength(r)
		if err != nil {
			return nil, err
		}
		body = newChunkDecoder(body, length)
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, &s3Error{http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"}
	}
	return data, nil
}

// decodedLength is how long an object is without its chunk framing.
func decodedLength(r *http.Request) (int64, error) {
	n, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return 0, &s3Error{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	}
	return n, nil
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
