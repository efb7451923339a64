//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package sdk_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/test/sdk"
)

// newer are the members that the client does not know yet.
var newer = []string{"performIncrementalUpdate", "latestSolutionUpdate", "eventsConfig", "rankingInfluence", "includedDatasetColumns"}

// known removes the newer members from a plain value.
func known(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range newer {
			delete(v, name)
		}
		for _, item := range v {
			known(item)
		}
	case []any:
		for _, item := range v {
			known(item)
		}
	}
	return v
}

func clients(t *testing.T, seen func(string, any)) sdk.Clients {
	t.Helper()
	server := httptest.NewServer(sdk.Reflecting(seen, nil))
	t.Cleanup(server.Close)
	c, err := sdk.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryMemberCrossesTheWireBothWays calls all operations that the client has. The server must see all that the client was given, and the
// client must decode all that the server answered.
func TestEveryMemberCrossesTheWireBothWays(t *testing.T) {
	var arrived any
	calls := clients(t, func(_ string, in any) { arrived = in }).Calls()
	if len(calls) != 78 {
		t.Fatalf("the clients have %d operations, want 78", len(calls))
	}
	for _, c := range calls {
		out, err := c.Do(context.Background())
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if diff := cmp.Diff(apitest.Plain(c.In), known(apitest.Plain(arrived))); diff != "" {
			t.Errorf("%s (-sent +arrived):\n%s", c.Name, diff)
		}
		if diff := cmp.Diff(known(apitest.Plain(apitest.Response(c.Name))), apitest.Plain(out)); diff != "" {
			t.Errorf("%s (-answered +decoded):\n%s", c.Name, diff)
		}
	}
}

// exceptions are those of each service's model, with the status that the client sees.
var exceptions = map[string]map[api.Code]int{
	"personalize": {
		api.InvalidInput: 400, api.InvalidNextToken: 400, api.LimitExceeded: 400, api.ResourceAlreadyExists: 400, api.ResourceInUse: 400,
		api.ResourceNotFound: 400, api.TooManyTagKeys: 400, api.TooManyTags: 400,
	},
	"personalize-runtime": {api.InvalidInput: 400, api.ResourceNotFound: 404},
	"personalize-events":  {api.InvalidInput: 400, api.ResourceInUse: 409, api.ResourceNotFound: 404},
}

func TestEveryExceptionIsTypedForEveryOperation(t *testing.T) {
	for _, c := range clients(t, nil).Calls() {
		if exceptions[c.Service] == nil {
			t.Fatalf("no exceptions of %s", c.Service)
		}
		for code, status := range exceptions[c.Service] {
			_, err := c.Do(context.Background(), request.WithSetRequestHeaders(map[string]string{sdk.ErrorHeader: string(code)}))
			var failure awserr.RequestFailure
			if !errors.As(err, &failure) {
				t.Fatalf("%s %s: %v", c.Name, code, err)
			}
			if typ := reflect.TypeOf(err).Elem().Name(); typ != string(code) || failure.Code() != string(code) {
				t.Errorf("%s: %s is decoded as %s with code %s", c.Name, code, typ, failure.Code())
			}
			if failure.Message() != sdk.Message || failure.StatusCode() != status || failure.RequestID() == "" {
				t.Errorf("%s %s: message %q, status %d, request %q", c.Name, code, failure.Message(), failure.StatusCode(), failure.RequestID())
			}
		}
	}
}

func TestFaultsAreServerFaultsToTheClient(t *testing.T) {
	for _, c := range clients(t, nil).Calls() {
		_, err := c.Do(context.Background(), request.WithSetRequestHeaders(map[string]string{sdk.ErrorHeader: string(api.InternalFailure)}))
		var failure awserr.RequestFailure
		if !errors.As(err, &failure) || failure.StatusCode() != 500 || failure.Code() != "InternalFailure" {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestAWrongSecretIsRefused(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	c, err := sdk.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Calls() {
		_, err := call.Do(context.Background(), func(r *request.Request) {
			r.Handlers.Sign.PushBack(func(r *request.Request) { // after the signature
				r.HTTPRequest.Header.Set("Authorization", r.HTTPRequest.Header.Get("Authorization")+"0")
			})
		})
		var failure awserr.RequestFailure
		if !errors.As(err, &failure) || failure.Code() != "InvalidSignatureException" {
			t.Errorf("%s: %v", call.Name, err)
		}
	}
}
