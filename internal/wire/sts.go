package wire

import (
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/api"
)

// STS has one operation here, GetCallerIdentity: what people run first to see which server they talk to. The clients of other services with the query
// protocol, such as IAM, read the same form of an error.

type callerIdentity struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

type stsError struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// isForm tells a call of the query protocol: a form posted to the root.
func isForm(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && r.URL.Path == "/" && kind == "application/x-www-form-urlencoded"
}

func (h *handler) serveSTS(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	body, err := readBody(w, r)
	if err == nil && h.verifier != nil {
		err = h.verifier.verify(r, body, "sts")
	}
	if err != nil {
		status, code := stsCode(err.Code)
		failSTS(w, id, status, code, err.Message)
		return
	}
	form, parseErr := url.ParseQuery(string(body))
	if parseErr != nil {
		failSTS(w, id, http.StatusBadRequest, "MalformedInput", "The request body is not a form.")
		return
	}
	if action := first(form, r.URL.Query(), "Action"); action != "GetCallerIdentity" {
		failSTS(w, id, http.StatusBadRequest, "InvalidAction", "Could not find operation "+action+" for version "+first(form, r.URL.Query(), "Version"))
		return
	}
	sendXML(w, id, http.StatusOK, callerIdentity{ARN: "arn:aws:iam::" + h.Account + ":root", UserID: h.Account, Account: h.Account, RequestID: id})
}

// stsCode is what the query protocol calls the errors that come before an operation.
func stsCode(c api.Code) (status int, code string) {
	switch c {
	case api.UnrecognizedClient:
		return http.StatusForbidden, "InvalidClientTokenId"
	case api.InvalidSignature:
		return http.StatusForbidden, "SignatureDoesNotMatch"
	case api.MissingAuthenticationToken:
		return http.StatusForbidden, string(c)
	case api.RequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge, string(c)
	default:
		return http.StatusBadRequest, string(c)
	}
}

// first returns the parameter from the body or, if it is not there, from the query.
func first(body, query url.Values, name string) string {
	if body.Has(name) {
		return body.Get(name)
	}
	return query.Get(name)
}

func failSTS(w http.ResponseWriter, id string, status int, code, message string) {
	sendXML(w, id, status, stsError{Type: "Sender", Code: code, Message: message, RequestID: id})
}

func sendXML(w http.ResponseWriter, id string, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err) // structures of strings
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header()["x-amzn-RequestId"] = []string{id}
	w.WriteHeader(status)
	w.Write(text)
}
