package plan

import (
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/test/sdk"
	"github.com/palate-dev/palate/test/server"
)

// Client is a client that knows all 79 operations.
type Client struct {
	Run          func(t *testing.T, endpoint string, calls []Call) []Result
	WholeSeconds bool // it drops the fraction of a second from the timestamps that it sends
}

// Conformance is the suite that such a client passes.
func Conformance(t *testing.T, c Client) {
	t.Run("every member crosses the wire both ways", c.members)
	t.Run("every exception is typed for every operation", c.exceptions)
	t.Run("faults, breaches and the caller's identity", c.others)
	t.Run("the binary answers every operation", c.binary)
}

// members sends requests with every member set. The server must see all that the client was given, and the client must decode all that the server answered.
func (c Client) members(t *testing.T) {
	var arrived []any
	server := httptest.NewServer(sdk.Reflecting(func(_ string, in any) { arrived = append(arrived, in) }, nil))
	defer server.Close()
	calls, _ := every()
	results := c.Run(t, server.URL, calls)
	if len(results) != 79 || len(arrived) != 79 {
		t.Fatalf("%d operations, %d arrived, want 79; first result %+v", len(results), len(arrived), results[0].Error)
	}
	for i, r := range results {
		name := calls[i].Operation
		if r.Error != nil {
			t.Errorf("%s: %+v", name, *r.Error)
			continue
		}
		sent := calls[i].Input
		if c.WholeSeconds {
			cutFractions(sent)
		}
		if diff := cmp.Diff(sent, apitest.Plain(arrived[i])); diff != "" {
			t.Errorf("%s (-sent +arrived):\n%s", name, diff)
		}
		if diff := cmp.Diff(apitest.Plain(apitest.Response(name)), r.Output); diff != "" {
			t.Errorf("%s (-answered +decoded):\n%s", name, diff)
		}
	}
}

// cutFractions brings every timestamp below v to its second.
func cutFractions(v any) {
	switch v := v.(type) {
	case map[string]any:
		if ms, ok := v["$date"].(float64); ok {
			v["$date"] = math.Floor(ms/1000) * 1000
		}
		for _, item := range v {
			cutFractions(item)
		}
	case []any:
		for _, item := range v {
			cutFractions(item)
		}
	}
}

func (c Client) exceptions(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	var calls []Call
	var want []Error
	operations, statuses := every()
	for i, call := range operations {
		for code, status := range statuses[i] {
			call.Exception = string(code)
			calls = append(calls, call)
			want = append(want, Error{Name: string(code), Message: sdk.Message, Status: status, Typed: true})
		}
	}
	for i, r := range c.Run(t, server.URL, calls) {
		if r.Error == nil || r.Error.RequestID == "" {
			t.Errorf("%s %s: %+v", calls[i].Operation, calls[i].Exception, r.Error)
			continue
		}
		want[i].RequestID = r.Error.RequestID
		if diff := cmp.Diff(want[i], *r.Error); diff != "" {
			t.Errorf("%s %s:\n%s", calls[i].Operation, calls[i].Exception, diff)
		}
	}
}

func (c Client) others(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	results := c.Run(t, server.URL, []Call{
		{Service: "sts", Operation: "GetCallerIdentity"},
		{Service: "sts", Operation: "GetSessionToken"},
		{Service: "personalize", Operation: "ListSchemas", Exception: "InternalFailure"},
		{Service: "personalize-runtime", Operation: "GetRecommendations", Exception: "ServiceUnavailable"},
		{Service: "personalize", Operation: "CreateDatasetGroup", Input: map[string]any{"name": strings.Repeat("n", 64), "domain": "X"}},
	})
	want := map[string]any{"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:root", "UserId": "123456789012"}
	if diff := cmp.Diff(any(want), results[0].Output); diff != "" {
		t.Error(diff)
	}
	for i, want := range []Error{
		{Name: "InvalidAction", Status: 400},
		{Name: "InternalFailure", Status: 500},
		{Name: "ServiceUnavailable", Status: 503},
		{Name: "InvalidInputException", Status: 400},
	} {
		if e := results[i+1].Error; e == nil || e.Name != want.Name || e.Status != want.Status {
			t.Fatalf("%s: %+v", want.Name, e)
		}
	}
	if m := results[4].Error.Message; !strings.HasPrefix(m, "2 validation errors detected: ") {
		t.Error(m)
	}
}

// binary sends each operation with every member set to a server that holds nothing. It may do what it is asked or throw an exception of the model, and
// nothing else: whatever is not built says InvalidInputException.
func (c Client) binary(t *testing.T) {
	calls, statuses := every()
	for i, r := range c.Run(t, server.Start(t).URL, calls) {
		if e := r.Error; e != nil && (!e.Typed || e.Status != statuses[i][api.Code(e.Name)]) {
			t.Errorf("%s: %+v", calls[i].Operation, *e)
		}
	}
}
