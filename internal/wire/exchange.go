package wire

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"

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

// exchange is one request to an operation and how it ends.
type exchange struct {
	w        http.ResponseWriter
	id       string
	protocol protocol
	statuses map[api.Code]int // of the operation's service
	status   int              // 0 until an answer is sent
	code     api.Code         // "" for success
	resource string           // what the request was about, once found
	refused  bool             // there was no room for it
}

// send writes the one answer.
func (x *exchange) send(status int, body []byte) {
	x.status = status
	head := x.w.Header()
	if x.protocol == json11 {
		head.Set("Content-Type", "application/x-amz-json-1.1")
	} else {
		head.Set("Content-Type", "application/json")
	}
	head["x-amzn-RequestId"] = []string{x.id} // in this spelling
	head.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	x.w.Write(body) // an error means that the client is gone
}

// fail writes the exception in the form of the protocol.
func (x *exchange) fail(e *api.Error) {
	x.code = e.Code
	if x.protocol == restJSON {
		x.w.Header()["x-amzn-ErrorType"] = []string{string(e.Code)}
	}
	x.send(statusOf(x.statuses, x.protocol, e.Code), errorBody(e))
}

func errorBody(e *api.Error) []byte {
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
