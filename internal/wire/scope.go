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
func parseScope(credential string) (scope, bool) {
	p := strings.Split(credential, "/")
	if len(p) != 5 || p[0] == "" || p[4] != "aws4_request" {
		return scope{}, false
	}
	return scope{key: p[0], date: p[1], region: p[2], service: p[3]}, true
}

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/aws4_request"
}

// authorization is a parsed Authorization header.
type authorization struct {
	scope     scope
	headers   []string // SignedHeaders
	signature string
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=a;b, Signature=...": each of the three once, in any order.
func parseAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return authorization{}, false
	}
	parts := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice {
			return authorization{}, false
		}
		parts[name] = value
	}
	s, ok := parseScope(parts["Credential"])
	if !ok || len(parts) != 3 || parts["SignedHeaders"] == "" || parts["Signature"] == "" {
		return authorization{}, false
	}
	return authorization{scope: s, headers: strings.Split(parts["SignedHeaders"], ";"), signature: parts["Signature"]}, true
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
