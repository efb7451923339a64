package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
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

	signing sync.Map // scope -> its *signer, for scopes of requests that were signed right
	derived atomic.Int64
}

// maxDerived bounds the signers that are remembered. A client needs one for each day and region; the oldest go with all others when there are more.
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
	signed := strings.Split(auth.headers, ";")
	if err := checkCoverage(r, signed); err != nil {
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
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	text := texts.Get().(*[]byte)
	defer texts.Put(text)
	bodyHash := sha256.Sum256(body)
	*text = appendCanonicalRequest((*text)[:0], r, signed, bodyHash)
	found, known := v.signing.Load(auth.scope)
	if !known {
		found = newSigner(secret, auth.scope)
	}
	requestHash := sha256.Sum256(*text)
	*text = appendStringToSign((*text)[:0], auth.scope, signedAt, requestHash)
	want := found.(*signer).sign(*text)
	if claimed != "" && claimed != hex.EncodeToString(bodyHash[:]) || !hmac.Equal(want[:], []byte(auth.signature)) {
		return api.Errorf(api.InvalidSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !known {
		if v.derived.Add(1) > maxDerived {
			v.signing.Clear()
			v.derived.Store(1)
		}
		v.signing.Store(auth.scope, found)
	}
	return nil
}

// texts are buffers for what is hashed of a request.
var texts = sync.Pool{New: func() any { return new([]byte) }}

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
		if !mustBeSigned(name) {
			continue
		}
		if len(values) > 1 {
			return api.Errorf(api.IncompleteSignature, "A header that must be signed is sent twice.")
		}
		if !slices.ContainsFunc(signed, func(s string) bool { return strings.EqualFold(s, name) }) {
			return api.Errorf(api.IncompleteSignature, "The content type and every x-amz header of a request must be signed.")
		}
	}
	return nil
}

// mustBeSigned tells whether we act on a header.
func mustBeSigned(name string) bool {
	const ours = "x-amz-"
	return strings.EqualFold(name, "content-type") || len(name) >= len(ours) && strings.EqualFold(name[:len(ours)], ours)
}

// checkTime returns the time of signing, X-Amz-Date, which must be of the scope's day and near our clock.
func (v *verifier) checkTime(r *http.Request, s scope) (string, *api.Error) {
	stamp := r.Header.Get("X-Amz-Date")
	t, ok := parseStamp(stamp)
	if !ok {
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

// parseStamp reads a time in timeLayout, in an eighth of the time that time.Parse takes.
func parseStamp(s string) (t time.Time, ok bool) {
	if len(s) != len(timeLayout) || s[8] != 'T' || s[15] != 'Z' {
		return t, false
	}
	var fields [6]int // year, month, day, hour, minute, second
	for i, at := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {9, 11}, {11, 13}, {13, 15}} {
		for _, c := range []byte(s[at[0]:at[1]]) {
			if c < '0' || c > '9' {
				return t, false
			}
			fields[i] = 10*fields[i] + int(c-'0')
		}
	}
	t = time.Date(fields[0], time.Month(fields[1]), fields[2], fields[3], fields[4], fields[5], 0, time.UTC)
	day := int(t.Month()) == fields[1] && t.Day() == fields[2] // Date takes the 31st of June for the 1st of July
	return t, day && fields[3] < 24 && fields[4] < 60 && fields[5] < 60
}

// appendCanonicalRequest appends the text that both sides hash.
func appendCanonicalRequest(b []byte, r *http.Request, signed []string, bodyHash [sha256.Size]byte) []byte {
	b = append(append(b, r.Method...), '\n')
	b = append(appendCanonicalPath(b, r), '\n')
	b = append(append(b, canonicalQuery(r.URL.RawQuery)...), '\n')
	for _, name := range signed {
		b = append(append(b, name...), ':')
		b = append(appendHeaderValue(b, r, name), '\n')
	}
	b = append(b, '\n')
	for i, name := range signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return hex.AppendEncode(append(b, '\n'), bodyHash[:])
}

// appendCanonicalPath appends the path as it was sent, escaped once more, as every service but S3 has it.
func appendCanonicalPath(b []byte, r *http.Request) []byte {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return appendEscaped(b, path, unreserved+"/")
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

// unreserved are the bytes beside letters and digits that no escape changes.
const unreserved = "-._~"

func escape(s string) string { return string(appendEscaped(nil, s, unreserved)) }

// appendEscaped leaves letters, digits and what is kept as they are.
func appendEscaped(b []byte, s, kept string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(kept, c) >= 0 {
			b = append(b, c)
			continue
		}
		b = append(b, '%', digits[c>>4], digits[c&15])
	}
	return b
}

// usualFields are the names of fields that clients sign, as r.Header has them.
var usualFields = map[string]string{
	"accept": "Accept", "amz-sdk-invocation-id": "Amz-Sdk-Invocation-Id", "amz-sdk-request": "Amz-Sdk-Request", "content-type": "Content-Type", "user-agent": "User-Agent",
	"x-amz-content-sha256": "X-Amz-Content-Sha256", "x-amz-date": "X-Amz-Date", "x-amz-security-token": "X-Amz-Security-Token", "x-amz-target": "X-Amz-Target", "x-amz-user-agent": "X-Amz-User-Agent",
}

// appendHeaderValue appends the value of a header as it is signed: each run of spaces is one. net/http keeps host and length apart from the others.
func appendHeaderValue(b []byte, r *http.Request, name string) []byte {
	switch name {
	case "host":
		return append(b, r.Host...)
	case "content-length":
		return strconv.AppendInt(b, r.ContentLength, 10)
	}
	canonical, usual := usualFields[name]
	if !usual {
		canonical = http.CanonicalHeaderKey(name)
	}
	for i, v := range r.Header[canonical] {
		if i > 0 {
			b = append(b, ',')
		}
		first := true
		for word := range strings.FieldsSeq(v) {
			if !first {
				b = append(b, ' ')
			}
			first = false
			b = append(b, word...)
		}
	}
	return b
}

func appendStringToSign(b []byte, s scope, signedAt string, requestHash [sha256.Size]byte) []byte {
	for _, part := range [...]string{algorithm, "\n", signedAt, "\n", s.date, "/", s.region, "/", s.service, "/aws4_request\n"} {
		b = append(b, part...)
	}
	return hex.AppendEncode(b, requestHash[:])
}

// signer makes the signatures of a scope. Its key is what the secret comes to there, four hashes of hashes that are the same all day; what hashing begins with the key
// is kept too.
type signer struct{ macs sync.Pool }

func newSigner(secret string, s scope) *signer {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	return &signer{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// sign returns the signature of a text in hexadecimal digits.
func (s *signer) sign(text []byte) (signature [2 * sha256.Size]byte) {
	m := s.macs.Get().(hash.Hash)
	defer s.macs.Put(m)
	m.Reset()
	m.Write(text)
	var sum [sha256.Size]byte
	hex.Encode(signature[:], m.Sum(sum[:0]))
	return signature
}
