package js_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/test/js"
	"github.com/palate-dev/palate/test/sdk"
)

// operations are all 79 by the service whose client has them.
func operations() map[string][]api.Operation {
	f := apitest.Func(nil)
	return map[string][]api.Operation{
		"personalize":         api.PersonalizeOperations(f),
		"personalize-runtime": api.PersonalizeRuntimeOperations(f),
		"personalize-events":  api.PersonalizeEventsOperations(f),
	}
}

func TestEveryMemberCrossesTheWireBothWays(t *testing.T) {
	var arrived []any
	server := httptest.NewServer(sdk.Reflecting(func(_ string, in any) { arrived = append(arrived, in) }, nil))
	defer server.Close()
	var calls []js.Call
	for service, ops := range operations() {
		for _, o := range ops {
			calls = append(calls, js.Call{Service: service, Operation: o.Name, Input: apitest.Plain(apitest.Request(o.Name))})
		}
	}
	results := js.Run(t, server.URL, calls)
	if len(results) != 79 || len(arrived) != 79 {
		t.Fatalf("%d operations, %d arrived, want 79", len(results), len(arrived))
	}
	for i, r := range results {
		if r.Error != nil {
			t.Errorf("%s: %+v", calls[i].Operation, *r.Error)
			continue
		}
		if diff := cmp.Diff(calls[i].Input, apitest.Plain(arrived[i])); diff != "" {
			t.Errorf("%s (-sent +arrived):\n%s", calls[i].Operation, diff)
		}
		if diff := cmp.Diff(apitest.Plain(apitest.Response(calls[i].Operation)), r.Output); diff != "" {
			t.Errorf("%s (-answered +decoded):\n%s", calls[i].Operation, diff)
		}
	}
}

func TestEveryExceptionIsTypedForEveryOperation(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	var calls []js.Call
	var want []js.Error
	for service, ops := range operations() {
		for _, o := range ops {
			for code, status := range o.Statuses {
				calls = append(calls, js.Call{Service: service, Operation: o.Name, Input: apitest.Plain(apitest.Request(o.Name)), Exception: string(code)})
				want = append(want, js.Error{Name: string(code), Message: sdk.Message, Status: status, Fault: "client", Typed: true})
			}
		}
	}
	for i, r := range js.Run(t, server.URL, calls) {
		if r.Error == nil {
			t.Errorf("%s %s: no error", calls[i].Operation, calls[i].Exception)
			continue
		}
		if r.Error.RequestID == "" {
			t.Errorf("%s %s: no request id", calls[i].Operation, calls[i].Exception)
		}
		r.Error.RequestID = ""
		if diff := cmp.Diff(want[i], *r.Error); diff != "" {
			t.Errorf("%s %s:\n%s", calls[i].Operation, calls[i].Exception, diff)
		}
	}
}

func TestFaultsAndCallerIdentity(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	results := js.Run(t, server.URL, []js.Call{
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
	for i, want := range []js.Error{
		{Name: "InvalidAction", Status: 400},
		{Name: "InternalFailure", Status: 500},
		{Name: "ServiceUnavailable", Status: 503},
		{Name: "InvalidInputException", Status: 400},
	} {
		if e := results[i+1].Error; e == nil || e.Name != want.Name || e.Status != want.Status {
			t.Errorf("%s: %+v", want.Name, e)
		}
	}
	if m := results[4].Error.Message; !strings.HasPrefix(m, "2 validation errors detected: ") {
		t.Error(m)
	}
}
