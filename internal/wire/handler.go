// Package wire is the HTTP face of the service: it tells the services that share one port apart, verifies signatures, and puts the answers of
// package api into the exact forms of AWS JSON 1.1, REST JSON and the query protocol of STS. It is the only package that touches net/http for the
// API, and it knows no resource and no rule.
//
// Which service a request is for, in this order:
//
//  1. A request with a SigV4 signature, in the Authorization header or presigned in the query, names its service in the credential scope: s3 goes
//     to Options.S3, sts to GetCallerIdentity, personalize to the operations. All three APIs, and what palate has of its own, sign as personalize, so X-Amz-Target, or else
//     method and path, tell the operation. Any other service is refused, in a form that its clients read: scripts that set up Personalize also call
//     IAM, whose clients get XML.
//  2. Without a signature, X-Amz-Target or one of the paths of the operations (POST /events, POST /recommendations, ...) means the operations; a form
//     posted to / means STS; GET or HEAD of /healthz, /readyz and the paths of Options.Extra mean those pages.
//  3. Whatever is left is S3: anonymous and SigV2 requests for a bucket or an object, which the S3 server admits or refuses by its own rules.
//     So a bucket named like one of our pages or paths can be reached by signed requests only.
//
// Promises: every answer of the operations carries x-amzn-RequestId; an operation runs only after authentication, with a body of at most MaxBody
// bytes; a fault of the server is logged once and shown to the client as InternalFailure and nothing more; the log of requests holds nothing that
// the client sent, and that of faults the words of our own errors, which may name a resource but no user.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/pace"
)

// MaxBody is the largest request body, S3 excepted. PutItems with ten items of 32,000 characters, each escaped, fits.
const MaxBody = 4 << 20

// Options are the parts that the handler binds together.
type Options struct {
	Operations  []api.Operation
	S3          http.Handler            // nil: requests for S3 are refused
	Account     string                  // twelve digits, the account of every caller
	Region      string                  // of callers whose request names none; "" is us-east-1
	Credentials map[string]string       // access key -> secret; nil accepts any signature and none
	Log         *slog.Logger            // nil discards
	Ready       func() bool             // what /readyz says; nil is always ready
	Refuse      func() string           // why no operation may be answered now, "" if they may; nil is "". S3 is served all the same
	Bounds      map[string]int          // operation -> how many of its calls may be under way in any case; up to eight times as many if that is 50 ms of work. One more is refused with ThrottlingException
	Extra       map[string]http.Handler // unsigned pages by path, such as /metrics

	// Observe is told of every request to an operation, but for those that Refused is told of: its name, "" if there is no such operation, the resource that it was about, "" if none was found, the HTTP
	// status, and when it began. nil: nobody is.
	Observe func(operation, resource string, status int, start time.Time)
	Refused func(operation string, status int) // is told of the calls that Bounds keep out; nil: nobody is
}

type handler struct {
	Options
	byTarget map[string]*api.Operation
	byRoute  map[string]*api.Operation // "POST /events"
	verifier *verifier                 // nil accepts everything
	rooms    map[string]*room          // of the operations with a bound
	doors    map[string]*door          // of those that have a path of their own, by it
}

// New returns the handler. Two operations on one route are a fault of the program, so New panics.
func New(o Options) http.Handler {
	h := &handler{Options: o, byTarget: map[string]*api.Operation{}, byRoute: map[string]*api.Operation{}, rooms: map[string]*room{}, doors: map[string]*door{}}
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	for _, op := range o.Operations {
		table, key := h.byRoute, route(op.Method, op.Path)
		if op.Target != "" {
			table, key = h.byTarget, op.Target
		}
		if _, twice := table[key]; twice {
			panic("wire: two operations are bound to " + key)
		}
		table[key] = &op
	}
	if h.Region == "" {
		h.Region = "us-east-1"
	}
	for name, calls := range o.Bounds {
		h.rooms[name] = newRoom(calls)
	}
	for _, op := range o.Operations {
		if room := h.rooms[op.Name]; room != nil && op.Target == "" && op.Method == http.MethodPost {
			h.doors[op.Path] = &door{op, room, &url.URL{Path: op.Path}}
		}
	}
	if o.Credentials != nil {
		h.verifier = &verifier{keys: o.Credentials, now: time.Now}
	}
	return h
}

func route(method, path string) string { return method + " " + path }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scope, signed := requestScope(r)
	switch {
	case signed && scope.service == "s3":
		h.serveS3(w, r)
	case signed && scope.service == "sts":
		h.serveSTS(w, r)
	case signed && scope.service != "personalize" && isForm(r):
		failSTS(w, uuid.NewString(), http.StatusForbidden, "SignatureDoesNotMatch", notServed(scope.service))
	case signed:
		h.serveOperation(w, r, scope)
	case h.isOperation(r):
		h.serveOperation(w, r, h.unsigned())
	case isForm(r):
		h.serveSTS(w, r)
	default:
		if page := h.page(r); page != nil {
			page.ServeHTTP(w, r)
			return
		}
		h.serveS3(w, r)
	}
}

// isOperation tells by its headers and path whether an unsigned request means one of the operations.
func (h *handler) isOperation(r *http.Request) bool {
	_, ok := h.byRoute[route(r.Method, r.URL.Path)]
	return ok || len(r.Header.Values("X-Amz-Target")) > 0
}

// unsigned is the scope of a request without a signature.
func (h *handler) unsigned() scope { return scope{region: h.Region, service: "personalize"} }

// page returns the handler of an unsigned page, or nil.
func (h *handler) page(r *http.Request) http.Handler {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	switch r.URL.Path {
	case "/healthz":
		return status(func() bool { return true })
	case "/readyz":
		if h.Ready == nil {
			return status(func() bool { return true })
		}
		return status(h.Ready)
	default:
		return h.Extra[r.URL.Path]
	}
}

// status is a page that says ok, or 503 when fine says no.
type status func() bool

func (fine status) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !fine() {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "not ready\n")
		return
	}
	io.WriteString(w, "ok\n")
}

func (h *handler) serveS3(w http.ResponseWriter, r *http.Request) {
	if h.S3 == nil {
		http.Error(w, "S3 is not served here", http.StatusNotFound)
		return
	}
	h.S3.ServeHTTP(w, r)
}

// serveOperation answers one request to the three APIs.
func (h *handler) serveOperation(w http.ResponseWriter, r *http.Request, scope scope) {
	x := &exchange{out: response{w}, id: uuid.NewString(), protocol: protocolOf(r), start: time.Now()}
	op := h.operation(r)
	if op != nil {
		x.statuses = op.Statuses
	}
	body, err := readBody(w, r)
	h.answer(r.Context(), x, op, r, scope, body, err)
}

// answer answers a request whose body has been read, or could not be, and logs it. op is nil if there is no such operation.
func (h *handler) answer(ctx context.Context, x *exchange, op *api.Operation, r *http.Request, scope scope, body []byte, err *api.Error) {
	known := op != nil
	if !known {
		op = &unknown
	}
	defer func() { h.record(ctx, op.Name, x) }() // after the recovery, which comes first
	defer h.recoverPanic(op.Name, x)

	if room := h.rooms[op.Name]; room != nil && err == nil { // once the body is here: a slow sender takes nobody's place
		if !room.enter() {
			x.refused = true
			x.fail(rateExceeded)
			return
		}
		defer room.leave()
	}
	if err == nil {
		err = h.admit(r, body, scope)
	}
	if err == nil && !known {
		err = api.Errorf(api.UnknownOperation, "The requested operation is not recognized by the service.")
	}
	if err != nil {
		x.fail(err)
		return
	}
	if h.Refuse != nil {
		if why := h.Refuse(); why != "" {
			x.fail(api.Errorf(api.ServiceUnavailable, "%s", why))
			return
		}
	}
	if op.Target == "" { // runtime and events: jobs make room for them
		pace.Process.Begin()
		defer pace.Process.End()
	}
	caller := api.Caller{Partition: "aws", Region: scope.region, Account: h.Account, RequestID: x.id}.Finding(&x.resource)
	out, callErr := op.Call(api.WithCaller(ctx, caller), body)
	if callErr != nil {
		x.fail(h.visible(ctx, op.Name, x.id, callErr))
		return
	}
	if op.Empty {
		x.send(http.StatusOK, nil)
		return
	}
	text, marshalErr := api.Marshal(out)
	if marshalErr != nil {
		x.fail(h.visible(ctx, op.Name, x.id, marshalErr))
		return
	}
	x.send(http.StatusOK, text)
}

// unknown stands for the operation of a request for none.
var unknown api.Operation

// operation finds what the request asks for, by target if it has one, else by method and path; nil if there is no such operation.
func (h *handler) operation(r *http.Request) *api.Operation {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		if op := h.byTarget[target]; op != nil && r.Method == op.Method && r.URL.Path == op.Path {
			return op
		}
		return nil
	}
	return h.byRoute[route(r.Method, r.URL.Path)]
}

// admit authenticates the request.
func (h *handler) admit(r *http.Request, body []byte, s scope) *api.Error {
	if s.service != "personalize" {
		return api.Errorf(api.InvalidSignature, "%s", notServed(s.service))
	}
	if h.verifier != nil {
		if err := h.verifier.verify(r, body, "personalize"); err != nil {
			return err
		}
	}
	if !validRegion(s.region) {
		return api.Errorf(api.InvalidSignature, "Credential should be scoped to a valid region.")
	}
	return nil
}

// notServed is the answer to a client of a service that is not here: most likely it took our endpoint from AWS_ENDPOINT_URL, which is for all services.
func notServed(service string) string {
	return fmt.Sprintf("Credential should be scoped to correct service: 'personalize'. This server has Amazon Personalize, S3 and STS; it is no endpoint for %q.", service)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *api.Error) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, MaxBody), r.ContentLength)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, api.Errorf(api.RequestEntityTooLarge, "The request body is larger than %d bytes.", tooLarge.Limit)
	}
	if err != nil {
		return nil, api.Errorf(api.Serialization, "The request body could not be read to its end.")
	}
	return body, nil
}

// readAll is io.ReadAll for a body that most likely has the given length, which nobody has checked: it is believed up to 64 KB.
func readAll(r io.Reader, length int64) ([]byte, error) {
	const most = 64 << 10
	var body bytes.Buffer
	body.Grow(int(min(max(length, 0), most)) + bytes.MinRead)
	_, err := body.ReadFrom(r)
	return body.Bytes(), err
}

// visible turns the error of an operation into what the client may see of it. The log gets the rest, once.
func (h *handler) visible(ctx context.Context, operation, id string, err error) *api.Error {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return api.Errorf(api.ServiceUnavailable, "The request was interrupted. Try again.") // the client left, or the server is leaving
	}
	h.Log.LogAttrs(ctx, slog.LevelError, "operation failed", slog.String("operation", operation), slog.String("request", id), slog.Any("error", err))
	return internalFailure()
}

func internalFailure() *api.Error {
	return api.Errorf(api.InternalFailure, "The request processing has failed because of an internal error.")
}

// record writes the request log: what was asked, how it ended, how long it took, and nothing that the client sent.
func (h *handler) record(ctx context.Context, operation string, x *exchange) {
	switch {
	case x.refused && h.Refused != nil:
		h.Refused(operation, x.status)
	case !x.refused && h.Observe != nil:
		h.Observe(operation, x.resource, x.status, x.start)
	}
	level := slog.LevelDebug
	if x.status >= http.StatusBadRequest && x.code != api.Throttling { // thousands a second, just when there is no time to write them
		level = slog.LevelInfo
	}
	if !h.Log.Enabled(ctx, level) {
		return
	}
	if operation == "" {
		operation = "unknown"
	}
	h.Log.LogAttrs(ctx, level, "request", slog.String("operation", operation), slog.Int("status", x.status), slog.String("code", string(x.code)),
		slog.Duration("took", time.Since(x.start)), slog.String("request", x.id))
}
