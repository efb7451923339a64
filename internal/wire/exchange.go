package wire

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

type protocol uint8

const (
	json11 protocol = iota
	restJSON
)

// protocolOf tells in which form the client expects an answer, also where no operation is found.
func protocolOf(r *http.Request) protocol {
	if r.Header.Get("X-Amz-Target") != "" || r.URL.Path == "/" {
		return json11
	}
	return restJSON
}

// contentType is that of requests and answers.
func (p protocol) contentType() []string {
	if p == json11 {
		return json11Type
	}
	return restJSONType
}

var json11Type, restJSONType = []string{"application/x-amz-json-1.1"}, []string{"application/json"}

// The fields of answers that are ours, in this spelling.
const (
	errorTypeField = "x-amzn-ErrorType"
	requestIDField = "x-amzn-RequestId"
)

// exchange is one request to an operation and how it ends.
type exchange struct {
	out      sender
	start    time.Time
	id       string
	protocol protocol
	statuses map[api.Code]int // of the operation's service
	status   int              // 0 until an answer is sent
	code     api.Code         // "" for success
	resource string           // what the request was about, once found
	refused  bool             // there was no room for it
}

// sender sends the answer of an exchange to the client. An error means that the client is gone.
type sender interface {
	send(x *exchange, body []byte)
}

// response is the sender of net/http.
type response struct{ http.ResponseWriter }

func (w response) send(x *exchange, body []byte) {
	head := w.Header()
	head["Content-Type"] = x.protocol.contentType()
	head[requestIDField] = []string{x.id}
	if x.code != "" && x.protocol == restJSON {
		head[errorTypeField] = []string{string(x.code)}
	}
	head["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(x.status)
	w.Write(body)
}

// send sends the one answer.
func (x *exchange) send(status int, body []byte) {
	x.status = status
	x.out.send(x, body)
}

// fail sends the exception in the form of the protocol.
func (x *exchange) fail(e *api.Error) {
	x.code = e.Code
	x.send(statusOf(x.statuses, x.protocol, e.Code), errorBody(e))
}

// rateExceeded is the refusal of a call for which there is no room.
var (
	rateExceeded     = api.Errorf(api.Throttling, "Rate exceeded.")
	rateExceededBody = marshalError(rateExceeded)
)

func errorBody(e *api.Error) []byte {
	if e == rateExceeded {
		return rateExceededBody
	}
	return marshalError(e)
}

func marshalError(e *api.Error) []byte {
	body, err := api.Marshal(struct {
		Type    api.Code `json:"__type"`
		Message string   `json:"message"`
	}{e.Code, e.Message})
	if err != nil {
		panic(err) // two strings
	}
	return body
}

// statusOf is the HTTP status of an exception: the service's own, or that of the errors that every service has.
func statusOf(own map[api.Code]int, p protocol, c api.Code) int {
	if status, ok := own[c]; ok {
		return status
	}
	switch c {
	case api.InternalFailure:
		return http.StatusInternalServerError
	case api.ServiceUnavailable:
		return http.StatusServiceUnavailable
	case api.RequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge
	case api.MissingAuthenticationToken:
		return http.StatusForbidden
	case api.AccessDenied, api.InvalidSignature, api.UnrecognizedClient:
		if p == restJSON {
			return http.StatusForbidden
		}
	case api.UnknownOperation:
		if p == restJSON {
			return http.StatusNotFound
		}
	}
	return http.StatusBadRequest
}

// recoverPanic answers InternalFailure for an operation that panicked, and logs it with its stack. The panic's own words are kept only if they are
// the runtime's, since any other could repeat what the client sent.
func (h *handler) recoverPanic(operation string, x *exchange) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	h.Log.Error("operation panicked", slog.String("operation", operation), slog.String("request", x.id), slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	if x.status == 0 {
		x.fail(internalFailure())
	}
}
