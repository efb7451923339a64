package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// verifier checks AWS Signature Version 4 in the Authorization header. SDKs sign our APIs in no other way, so presigned queries, unsigned and streamed
// payloads and older versions are refused; S3, which has them all, verifies for itself.
//
// A signature protects what it covers, so it must cover whatever we act on: the host, every x-amz-* header, the content type, the path, the query
// and the body. What is sent twice is refused, because two readers could pick two values.
type verifier struct {
	keys map[string]string // access key -> secret
	now  func() time.Time

	signing sync.Map // scope -> its signing key, for scopes of requests that were signed right
	derived atomic.Int64
}

// maxDerived bounds the signing keys that are remembered. A client needs one for each day and region; the oldest go with all others when there are more.
const maxDerived = 1024

// maxSkew is how far the clocks of client and server may be apart.
const maxSkew = 15 * time.Minute

const timeLayout = "20060102T150405Z"

func (v *verifier) verify(r *http.Request, body []byte, service string) *api.Error {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return api.Errorf(api.MissingAuthenticationToken, "Missing Authentication Token")
	}
	auth, ok := parseAuthorization(headers[0])
	if !ok || len(headers) > 1 {
		return api.Errorf(api.IncompleteSignature, "The Authorization header does not hold exactly one complete %s signature.", algorithm)
	}
	if err := checkCoverage(r, auth.headers); err != nil {
		return err
	}
	signedAt, err := v.checkTime(r, auth.scope)
	if err != nil {
		return err
	}
	if auth.scope.service != service {
		return api.Errorf(api.InvalidSignature, "Credential should be scoped to correct service: '%s'.", service)
	}
	secret, ok := v.keys[auth.scope.key]
	if !ok {
		return api.Errorf(api.UnrecognizedClient, "The security token included in the request is invalid.")
	}
	bodyHash := hexHash(body)
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	request := canonicalRequest(r, auth.headers, bodyHash)
	key, known := v.signing.Load(auth.scope)
	if !known {
		key = signingKey(secret, auth.scope)
	}
	want := signature(key.([]byte), auth.scope, signedAt, request)
	if claimed != "" && claimed != bodyHash || !hmac.Equal([]byte(want), []byte(auth.signature)) {
		return api.Errorf(api.InvalidSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !known {
		if v.derived.Add(1) > maxDerived {
			v.signing.Clear()
			v.derived.Store(1)
		}
		v.signing.Store(auth.scope, key)
	}
	return nil
}

// checkCoverage asks that the list of signed headers is well formed and leaves out none that matters.
func checkCoverage(r *http.Request, signed []string) *api.Error {
	for i, name := range signed {
		if name == "" || name != strings.ToLower(name) || i > 0 && signed[i-1] >= name {
			return api.Errorf(api.IncompleteSignature, "SignedHeaders is not a sorted list of lower-case names.")
		}
	}
	if !slices.Contains(signed, "host") {
		return api.Errorf(api.IncompleteSignature, "'host' must be a signed header.")
	}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if name != "content-type" && !strings.HasPrefix(name, "x-amz-") {
			continue
		}
		if len(values) > 1 {
			return api.Errorf(api.IncompleteSignature, "A header that must be signed is sent twice.")
		}
		if !slices.Contains(signed, name) {
			return api.Errorf(api.IncompleteSignature, "The content type and every x-amz header of a request must be signed.")
		}
	}
	return nil
}

// checkTime returns the time of signing, X-Amz-Date, which must be of the scope's day and near our clock.
func (v *verifier) checkTime(r *http.Request, s scope) (string, *api.Error) {
	stamp := r.Header.Get("X-Amz-Date")
	t, err := time.Parse(timeLayout, stamp)
	if err != nil || t.Format(timeLayout) != stamp {
		return "", api.Errorf(api.IncompleteSignature, "X-Amz-Date must be in the form 20060102T150405Z.")
	}
	if stamp[:8] != s.date {
		return "", api.Errorf(api.InvalidSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if now := v.now().UTC(); t.Before(now.Add(-maxSkew)) {
		return "", api.Errorf(api.InvalidSignature, "Signature expired: %s is now earlier than %s (%s - 15 min.)", stamp, now.Add(-maxSkew).Format(timeLayout), now.Format(timeLayout))
	} else if t.After(now.Add(maxSkew)) {
		return "", api.Errorf(api.InvalidSignature, "Signature not yet current: %s is still later than %s (%s + 15 min.)", stamp, now.Add(maxSkew).Format(timeLayout), now.Format(timeLayout))
	}
	return stamp, nil
}

// canonicalRequest is the text that both sides hash.
func canonicalRequest(r *http.Request, signed []string, bodyHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r) + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range signed {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyHash)
	return b.String()
}

// canonicalPath escapes the path as it was sent once more, as every service but S3 has it.
func canonicalPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ReplaceAll(escape(path), "%2F", "/")
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{reescape(name), reescape(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// reescape brings one part of a query to the one spelling that is signed.
func reescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return escape(s)
}

// escape leaves letters, digits and -._~ as they are.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// headerValue is the value of a header as it is signed. net/http keeps host and length apart from the others.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

// signingKey is what a secret comes to in a scope: four hashes of hashes that are the same all day.
func signingKey(secret string, s scope) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func signature(key []byte, s scope, signedAt, request string) string {
	return hex.EncodeToString(mac(key, algorithm+"\n"+signedAt+"\n"+s.String()+"\n"+hexHash([]byte(request))))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
