package wire

import (
	"net/http"
	"strings"
)

const algorithm = "AWS4-HMAC-SHA256"

// scope is the credential scope of a signature: who signed, and for which day, region and service.
type scope struct {
	key, date, region, service string
}

// requestScope returns the scope that the request claims, in its header or presigned in its query, and whether it claims one. A claim proves
// nothing, but a client that lies about the service only reaches another door that it has to pass.
func requestScope(r *http.Request) (scope, bool) {
	if auth, ok := parseAuthorization(r.Header.Get("Authorization")); ok {
		return auth.scope, true
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		return parseScope(r.URL.Query().Get("X-Amz-Credential"))
	}
	return scope{}, false
}

// parseScope reads KEY/20060102/REGION/SERVICE/aws4_request.
func parseScope(credential string) (s scope, ok bool) {
	rest := credential
	for _, part := range [...]*string{&s.key, &s.date, &s.region, &s.service} {
		if *part, rest, ok = strings.Cut(rest, "/"); !ok {
			return scope{}, false
		}
	}
	if s.key == "" || rest != "aws4_request" {
		return scope{}, false
	}
	return s, true
}

// authorization is a parsed Authorization header.
type authorization struct {
	scope     scope
	headers   string // SignedHeaders: names with ';' between them
	signature string
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=a;b, Signature=...": each of the three once, in any order.
func parseAuthorization(header string) (a authorization, ok bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return authorization{}, false
	}
	credential := ""
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		var to *string
		switch name {
		case "Credential":
			to = &credential
		case "SignedHeaders":
			to = &a.headers
		case "Signature":
			to = &a.signature
		}
		if !ok || value == "" || to == nil || *to != "" {
			return authorization{}, false
		}
		*to = value
	}
	if a.scope, ok = parseScope(credential); !ok || a.headers == "" || a.signature == "" {
		return authorization{}, false
	}
	return a, true
}

// validRegion keeps what a client calls its region fit for an ARN.
func validRegion(region string) bool {
	if region == "" || len(region) > 32 {
		return false
	}
	for _, c := range []byte(region) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
