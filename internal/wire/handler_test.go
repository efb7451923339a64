package wire_test

//lint:file-ignore SA1008 the two headers are checked in the spelling that the service sends, which is not the canonical one.

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/internal/wire"
)

// fake answers every operation with err, or with every member filled.
func fake(err error) []api.Operation {
	return apitest.Operations(func(_ context.Context, _ string, _, out any) error {
		apitest.Fill(out)
		return err
	})
}

var s3 = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "S3") })

func anonymous(err error) http.Handler {
	return wire.New(wire.Options{Operations: fake(err), S3: s3, Account: "000000000000"})
}

// scoped is an Authorization header that claims the region and service.
func scoped(region, service string) string {
	return "AWS4-HMAC-SHA256 Credential=AKID/20260101/" + region + "/" + service + "/aws4_request, SignedHeaders=host, Signature=00"
}

type call struct {
	method, target, body string
	header               map[string]string
}

func (c call) do(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const form = "application/x-www-form-urlencoded"

func TestServicesAreToldApart(t *testing.T) {
	h := anonymous(nil)
	for _, c := range []struct {
		name string
		call call
		want string // begins the body
	}{
		{"signed s3 at the root", call{"GET", "/", "", map[string]string{"Authorization": scoped("us-east-1", "s3")}}, "S3"},
		{"signed s3 of a bucket named events", call{"POST", "/events", "", map[string]string{"Authorization": scoped("us-east-1", "s3")}}, "S3"},
		{"signed s3 of a bucket named healthz", call{"GET", "/healthz", "", map[string]string{"Authorization": scoped("us-east-1", "s3")}}, "S3"},
		{"presigned s3", call{"GET", "/healthz?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", "", nil}, "S3"},
		{"anonymous object", call{"GET", "/bucket/key", "", nil}, "S3"},
		{"anonymous list of buckets", call{"GET", "/", "", nil}, "S3"},
		{"SigV2", call{"PUT", "/bucket", "", map[string]string{"Authorization": "AWS AKID:c2ln"}}, "S3"},
		{"anonymous GET of an operation's path", call{"GET", "/events", "", nil}, "S3"},
		{"signed sts", call{"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", map[string]string{"Authorization": scoped("us-east-1", "sts"), "Content-Type": form}}, "<GetCallerIdentityResponse"},
		{"unsigned sts", call{"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", map[string]string{"Content-Type": form + "; charset=utf-8"}}, "<GetCallerIdentityResponse"},
		{"control plane", call{"POST", "/", "{}", map[string]string{"Authorization": scoped("us-east-1", "personalize"), "X-Amz-Target": "AmazonPersonalize.ListSchemas"}}, `{"schemas":[{"name":"name"`},
		{"unsigned control plane", call{"POST", "/", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.ListSchemas"}}, `{"schemas":[{"name":"name"`},
		{"runtime", call{"POST", "/recommendations", "{}", map[string]string{"Authorization": scoped("us-east-1", "personalize")}}, `{"itemList":[{"itemId":"itemId","score":0.0625`},
		{"unsigned runtime", call{"POST", "/recommendations", "{}", nil}, `{"itemList":[{"itemId":"itemId"`},
		{"target on another path", call{"POST", "/events", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.ListSchemas"}}, `{"__type":"UnknownOperationException"`},
		{"another service", call{"POST", "/", "{}", map[string]string{"Authorization": scoped("us-east-1", "logs")}}, `{"__type":"InvalidSignatureException"`},
		{"another service whose clients read XML", call{"POST", "/", "Action=CreateRole&Version=2010-05-08", map[string]string{"Authorization": scoped("us-east-1", "iam"), "Content-Type": form}}, "<ErrorResponse"},
		{"unknown target", call{"POST", "/", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.Nothing"}}, `{"__type":"UnknownOperationException"`},
		{"no target", call{"POST", "/", "{}", map[string]string{"Authorization": scoped("us-east-1", "personalize")}}, `{"__type":"UnknownOperationException"`},
		{"health", call{"GET", "/healthz", "", nil}, "ok"},
		{"readiness", call{"GET", "/readyz", "", nil}, "ok"},
	} {
		if got := c.call.do(h).Body.String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %.200s, want %s...", c.name, got, c.want)
		}
	}
}

var requestID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnswersHaveTheFormOfTheirProtocol(t *testing.T) {
	h := anonymous(nil)
	for _, op := range fake(nil) {
		body, err := api.Marshal(apitest.Request(op.Name))
		if err != nil {
			t.Fatal(err)
		}
		c := call{"POST", op.Path, string(body), map[string]string{}}
		contentType := "application/json"
		if op.Target != "" {
			c.header["X-Amz-Target"] = op.Target
			contentType = "application/x-amz-json-1.1"
		}
		w := c.do(h)
		if w.Code != 200 || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: %d %v %s", op.Name, w.Code, w.Header(), w.Body)
		}
		if id := w.Header()["x-amzn-RequestId"]; len(id) != 1 || !requestID.MatchString(id[0]) {
			t.Errorf("%s: request id %q", op.Name, id)
		}
		if op.Empty != (w.Body.Len() == 0) {
			t.Errorf("%s answers %s", op.Name, w.Body)
		}
	}
}

func TestErrorsHaveTheFormOfTheirProtocol(t *testing.T) {
	control := map[string]string{"X-Amz-Target": "AmazonPersonalize.ListSchemas"}
	for _, c := range []struct {
		err    error
		call   call
		status int
		body   string
	}{
		{api.Errorf(api.ResourceNotFound, "no <x>"), call{"POST", "/", "{}", control}, 400, `{"__type":"ResourceNotFoundException","message":"no <x>"}`},
		{api.Errorf(api.ResourceInUse, "m"), call{"POST", "/", "{}", control}, 400, `{"__type":"ResourceInUseException","message":"m"}`},
		{api.Errorf(api.ResourceNotFound, "m"), call{"POST", "/recommendations", "{}", nil}, 404, `{"__type":"ResourceNotFoundException","message":"m"}`},
		{api.Errorf(api.InvalidInput, "m"), call{"POST", "/recommendations", "{}", nil}, 400, `{"__type":"InvalidInputException","message":"m"}`},
		{api.Errorf(api.ResourceInUse, "m"), call{"POST", "/users", users, nil}, 409, `{"__type":"ResourceInUseException","message":"m"}`},
		{api.Errorf(api.Throttling, "m"), call{"POST", "/users", users, nil}, 400, `{"__type":"ThrottlingException","message":"m"}`},
		{api.Errorf(api.ServiceUnavailable, "m"), call{"POST", "/", "{}", control}, 503, `{"__type":"ServiceUnavailable","message":"m"}`},
		{errors.New("disk of user u1"), call{"POST", "/", "{}", control}, 500, `{"__type":"InternalFailure","message":"The request processing has failed because of an internal error."}`},
		{context.Canceled, call{"POST", "/", "{}", control}, 503, `{"__type":"ServiceUnavailable","message":"The request was interrupted. Try again."}`},
		{nil, call{"POST", "/users", "[]", nil}, 400, `{"__type":"SerializationException","message":"The request body is not a JSON object."}`},
		{nil, call{"POST", "/nothing", "{}", map[string]string{"Authorization": scoped("us-east-1", "personalize")}}, 404, `{"__type":"UnknownOperationException","message":"The requested operation is not recognized by the service."}`},
		{nil, call{"POST", "/", "{}", map[string]string{"Authorization": scoped("US/..", "personalize"), "X-Amz-Target": "AmazonPersonalize.ListSchemas"}}, 200, ""},
		{nil, call{"POST", "/", "{}", map[string]string{"Authorization": scoped("US", "personalize"), "X-Amz-Target": "AmazonPersonalize.ListSchemas"}}, 400, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid region."}`},
		{nil, call{"POST", "/users", strings.Repeat(" ", wire.MaxBody+1), nil}, 413, `{"__type":"RequestEntityTooLargeException","message":"The request body is larger than 4194304 bytes."}`},
	} {
		w := c.call.do(anonymous(c.err))
		if w.Code != c.status || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%v %s %s: %d %s, want %d %s", c.err, c.call.target, c.call.header, w.Code, w.Body, c.status, c.body)
		}
		code := regexp.MustCompile(`"__type":"(\w+)"`).FindStringSubmatch(w.Body.String())
		if rest := c.call.target != "/"; rest != (len(w.Header()["x-amzn-ErrorType"]) == 1) || rest && w.Header()["x-amzn-ErrorType"][0] != code[1] {
			t.Errorf("%s: x-amzn-ErrorType is %q", c.call.target, w.Header()["x-amzn-ErrorType"])
		}
	}
}

const users = `{"datasetArn":"arn:aws:personalize:us-east-1:000000000000:dataset/g/USERS","users":[{"userId":"u"}]}`

func TestOperationsKnowTheirCaller(t *testing.T) {
	var got api.Caller
	h := wire.New(wire.Options{Account: "123456789012", Region: "us-west-2", Operations: apitest.Operations(func(ctx context.Context, _ string, _, _ any) error {
		got = api.CallerFrom(ctx)
		return nil
	})})
	c := call{"POST", "/", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.ListSchemas"}}
	for _, region := range []string{"us-west-2", "eu-central-1"} { // the first without a signature
		if region != "us-west-2" {
			c.header["Authorization"] = scoped(region, "personalize")
		}
		w := c.do(h)
		want := api.Caller{Partition: "aws", Region: region, Account: "123456789012", RequestID: w.Header()["x-amzn-RequestId"][0]}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(api.Caller{})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestFaultsAreLoggedOnceAndRequestsWithoutWhatTheySay(t *testing.T) {
	var log bytes.Buffer
	h := wire.New(wire.Options{
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Operations: apitest.Operations(func(_ context.Context, operation string, _, _ any) error {
			switch operation {
			case "ListSchemas":
				return errors.New("torn page")
			case "GetRecommendations":
				panic("secret of user u1")
			case "PutUsers":
				return api.Errorf(api.InvalidInput, "no u1")
			}
			return nil
		}),
	})
	for _, c := range []call{
		{"POST", "/", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.ListSchemas"}},
		{"POST", "/", "{}", map[string]string{"X-Amz-Target": "AmazonPersonalize.u1"}},
		{"POST", "/recommendations", `{"userId":"u1"}`, nil},
		{"POST", "/users", strings.Replace(users, `"u"`, `"u1"`, 1), nil},
	} {
		c.do(h)
	}
	text := log.String()
	for what, times := range map[string]int{"torn page": 1, "operation panicked": 1, "u1": 0, "status=500": 2, "code=InvalidInputException": 1, "operation=unknown": 1} {
		if n := strings.Count(text, what); n != times {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", what, n, times, text)
		}
	}
}

func TestAPanicIsAnInternalFailure(t *testing.T) {
	h := wire.New(wire.Options{Operations: apitest.Operations(func(context.Context, string, any, any) error { panic("x") })})
	w := call{"POST", "/recommendations", "{}", nil}.do(h)
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"InternalFailure"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReadinessAndExtraPages(t *testing.T) {
	ready := false
	h := wire.New(wire.Options{Ready: func() bool { return ready }, Extra: map[string]http.Handler{"/metrics": s3}})
	if w := (call{"GET", "/readyz", "", nil}).do(h); w.Code != 503 {
		t.Errorf("not ready answers %d", w.Code)
	}
	ready = true
	if w := (call{"HEAD", "/readyz", "", nil}).do(h); w.Code != 200 {
		t.Errorf("ready answers %d", w.Code)
	}
	if w := (call{"GET", "/metrics", "", nil}).do(h); w.Body.String() != "S3" {
		t.Errorf("extra page answers %d %s", w.Code, w.Body)
	}
	if w := (call{"GET", "/bucket", "", nil}).do(h); w.Code != 404 {
		t.Errorf("without S3 a bucket answers %d", w.Code)
	}
}

func TestCallerIdentity(t *testing.T) {
	h := wire.New(wire.Options{Account: "123456789012"})
	w := call{"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", map[string]string{"Content-Type": form}}.do(h)
	var got struct {
		XMLName xml.Name
		Arn     string `xml:"GetCallerIdentityResult>Arn"`
		UserID  string `xml:"GetCallerIdentityResult>UserId"`
		Account string `xml:"GetCallerIdentityResult>Account"`
		ID      string `xml:"ResponseMetadata>RequestId"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "text/xml" {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	if got.XMLName.Space != "https://sts.amazonaws.com/doc/2011-06-15/" || got.Arn != "arn:aws:iam::123456789012:root" || got.UserID != "123456789012" || got.Account != "123456789012" || !requestID.MatchString(got.ID) {
		t.Errorf("%+v", got)
	}
	w = call{"POST", "/", "Action=AssumeRole&Version=2011-06-15", map[string]string{"Content-Type": form}}.do(h)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "<Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation AssumeRole for version 2011-06-15</Message></Error>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTwoOperationsOnOneRouteAreRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New accepts an operation twice")
		}
	}()
	wire.New(wire.Options{Operations: append(fake(nil), fake(nil)...)})
}

// FuzzRequest shows that whatever a client sends to the operations, the answer has a request id and a body that is JSON or empty, and is no fault.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/", "AmazonPersonalize.CreateSchema", scoped("us-east-1", "personalize"), `{"name":"n","schema":"{}"}`)
	f.Add("POST", "/events", "", "", `{"trackingId":"t","sessionId":"s","eventList":[{"eventType":"e","sentAt":1}]}`)
	f.Add("PUT", "/items", "x", "AWS4-HMAC-SHA256 Credential=", "[")
	h := wire.New(wire.Options{Operations: fake(nil)})
	f.Fuzz(func(t *testing.T, method, path, target, authorization, body string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) || len(w.Header()["x-amzn-RequestId"]) != 1 {
			if strings.HasPrefix(w.Body.String(), "<") || w.Code == 404 && w.Header()["x-amzn-RequestId"] == nil {
				return // STS, or no S3 here
			}
			t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
		}
	})
}
